//! `sleepctl service create`, and `run`.

use clap::Parser;
use hyper::Method;
use sleep_wire::api::{Proposal, ServiceChanged, ServiceCreate, Spec};
use sleep_wire::spec::{
    Mode, OnHeal, Order, PartitionPolicy, Placement, Port, RestartCondition, Runtime, TaskTemplate,
    UpdatePolicy,
};

use super::wait::Want;
use super::{Context, plan, service};
use crate::args::service::{ConditionArg, Create, HealArg, ModeArg, OrderArg, RuntimeArg, Template};
use crate::args::{Cli, Command, Global, ServiceCommand};
use crate::error::Error;
use crate::output::Output;

pub(super) async fn run(output: &Output, global: Global, args: Create) -> Result<(), Error> {
    let want = match args.mode {
        ModeArg::Replicated => Want::Replicas(args.template.replicas.unwrap_or(1)),
        ModeArg::Global => Want::Settled,
    };
    let dry_run = args.template.dry_run;
    let request = request(args)?;
    let context = Context::open(output, global).await?;
    if dry_run {
        return plan::show(&context, &Proposal::Create(Box::new(request))).await;
    }
    let changed: ServiceChanged = context.client.change(Method::POST, "/v1/services", &request).await?;
    service::settle(&context, changed, want, true).await
}

/// What a line that begins with `sleepctl service create` asks for.
pub(super) fn typed(line: &str) -> Result<ServiceCreate, Error> {
    let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| Error::internal("a command", &error))?;
    match cli.command {
        Command::Service(ServiceCommand::Create(create)) => request(*create),
        _ => Err(Error::Internal(format!("`{line}` creates no service"))),
    }
}

fn request(args: Create) -> Result<ServiceCreate, Error> {
    let Create { name, mode, runtime, entrypoint, template, image, mut command } = args;
    let Some(name) = name.or_else(|| name_of(&image)) else {
        return Err(Error::Usage(format!("`{image}` makes no name: give one with --name")));
    };
    let image = match runtime {
        RuntimeArg::Docker => image,
        RuntimeArg::Process => {
            command.insert(0, image);
            String::new()
        }
    };
    let (mode, replicas) = match (mode, template.replicas) {
        (ModeArg::Replicated, replicas) => (Mode::Replicated, replicas.unwrap_or(1)),
        (ModeArg::Global, None) => (Mode::Global, 1),
        (ModeArg::Global, Some(_)) => {
            return Err(Error::Usage(
                "a global service runs once on every node: it takes no --replicas".to_owned(),
            ));
        }
    };
    let mut spec = Spec {
        template: TaskTemplate {
            runtime: runtime.into(),
            image,
            entrypoint: entrypoint.unwrap_or_default(),
            command,
            ..TaskTemplate::default()
        },
        placement: Placement::default(),
        update: UpdatePolicy::default(),
        partition: PartitionPolicy::default(),
        labels: Vec::new(),
    };
    apply(template, &mut spec);
    Ok(ServiceCreate { name, mode, singleton: false, replicas, spec })
}

impl From<RuntimeArg> for Runtime {
    fn from(runtime: RuntimeArg) -> Self {
        match runtime {
            RuntimeArg::Docker => Self::Docker,
            RuntimeArg::Process => Self::Process,
        }
    }
}

/// What an image, or a program, is called: the last part of its path, without tag and digest.
fn name_of(image: &str) -> Option<String> {
    let last = image.rsplit('/').next().unwrap_or(image);
    let bare = last.split(['@', ':']).next().unwrap_or(last);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name: String = bare.to_ascii_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    (!name.is_empty() && name.len() <= 63).then(|| name.to_owned())
}

/// Puts what was typed into a specification; what was not typed stays.
pub(super) fn apply(typed: Template, spec: &mut Spec) {
    let Template { env, label, container_label, publish, constraint, .. } = &typed;
    for pair in env {
        set(&mut spec.template.env, pair);
    }
    for pair in label {
        set(&mut spec.labels, pair);
    }
    for pair in container_label {
        set(&mut spec.template.labels, pair);
    }
    // A target that was published already moves to where it is published now.
    let ports: Vec<Port> = publish.iter().flatten().cloned().collect();
    let moves = |old: &Port| ports.iter().any(|new| (new.target, new.protocol) == (old.target, old.protocol));
    spec.template.ports.retain(|old| !moves(old));
    spec.template.ports.extend(ports);
    for expression in constraint {
        if !spec.placement.constraints.contains(expression) {
            spec.placement.constraints.push(expression.clone());
        }
    }
    policies(&typed, spec);
    task(typed, &mut spec.template);
}

/// Sets a `KEY=VALUE` among others.
fn set(pairs: &mut Vec<String>, pair: &str) {
    let key = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    match pairs.iter_mut().find(|other| key(other) == key(pair)) {
        Some(other) => pair.clone_into(other),
        None => pairs.push(pair.to_owned()),
    }
}

fn policies(typed: &Template, spec: &mut Spec) {
    let Spec { placement, update, partition, .. } = spec;
    if let Some(order) = typed.update_order {
        update.order = match order {
            OrderArg::StopFirst => Order::StopFirst,
            OrderArg::StartFirst => Order::StartFirst,
        };
    }
    put(&mut update.parallelism, typed.update_parallelism);
    put(&mut update.delay_ms, typed.update_delay.map(ms));
    put(&mut update.monitor_ms, typed.update_monitor.map(ms));
    if let Some(label) = &typed.spread_by {
        placement.spread_by.clone_from(label);
    }
    put(&mut placement.max_per_node, typed.replicas_max_per_node);
    put(&mut partition.reschedule_delay_ms, typed.reschedule_delay.map(ms));
    if let Some(which) = typed.on_heal {
        partition.on_heal = match which {
            HealArg::KeepOriginal => OnHeal::KeepOriginal,
            HealArg::KeepNewest => OnHeal::KeepNewest,
        };
    }
}

fn task(typed: Template, template: &mut TaskTemplate) {
    if let Some(condition) = typed.restart_condition {
        template.restart.condition = match condition {
            ConditionArg::None => RestartCondition::None,
            ConditionArg::OnFailure => RestartCondition::OnFailure,
            ConditionArg::Any => RestartCondition::Any,
        };
    }
    put(&mut template.restart.delay_ms, typed.restart_delay.map(ms));
    put(&mut template.restart.max_attempts, typed.restart_max_attempts);
    put(&mut template.restart.window_ms, typed.restart_window.map(ms));
    put(&mut template.stop_grace_ms, typed.stop_grace_period.map(ms));
    put(&mut template.stop_signal, typed.stop_signal);
    put(&mut template.resources.reserve_memory, typed.reserve_memory);
    put(&mut template.resources.limit_memory, typed.limit_memory);
    put(&mut template.resources.reserve_cpu_milli, typed.reserve_cpu);
    put(&mut template.resources.limit_cpu_milli, typed.limit_cpu);
    put(&mut template.user, typed.user);
    put(&mut template.workdir, typed.workdir);
    put(&mut template.hostname, typed.hostname);
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_after_what_it_runs() {
        let name = |line: &str| typed(line).ok().map(|create| create.name);
        assert_eq!(name("sleepctl service create nginx"), Some("nginx".to_owned()));
        assert_eq!(
            name("sleepctl service create ghcr.io:5000/a/My_App:1.2@sha256:0"),
            Some("my-app".to_owned())
        );
        assert_eq!(
            name("sleepctl service create --runtime process -- /bin/sleep 9"),
            Some("sleep".to_owned())
        );
        assert_eq!(name("sleepctl service create ___"), None);
    }

    #[test]
    fn what_follows_the_image_is_the_command_whatever_it_looks_like() {
        let create =
            typed("sleepctl service create -n x -e A=1 -e A=2 --mode global busybox sh -c x --replicas 3")
                .expect("a run");
        assert_eq!(create.mode, Mode::Global);
        assert_eq!(create.spec.template.image, "busybox");
        assert_eq!(create.spec.template.command, ["sh", "-c", "x", "--replicas", "3"]);
        assert_eq!(create.spec.template.env, ["A=2"]);
        assert!(matches!(
            typed("sleepctl service create --mode global --replicas 2 busybox"),
            Err(Error::Usage(_))
        ));
    }
}
