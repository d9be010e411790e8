//! `sleepctl service update`: reads a revision, changes it, writes it, if nobody else did meanwhile.

use std::collections::BTreeSet;

use hyper::Method;
use sleep_wire::api::{Proposal, ServiceChanged, ServiceDetail, ServiceUpdate, Spec};
use sleep_wire::spec::{Mode, Port, Protocol, Runtime};

use super::wait::Want;
use super::{Context, create, plan, service};
use crate::args::service::Update;
use crate::client::path;
use crate::error::Error;

pub(super) async fn run(context: Context<'_>, args: Update) -> Result<(), Error> {
    let found: ServiceDetail = context.client.get(&path(&["services", &args.service])).await?;
    let ServiceDetail { service, mut spec, .. } = found;
    let replicas = args.template.replicas;
    if replicas.is_some() && service.mode == Mode::Global {
        return Err(Error::Usage(format!(
            "`{}` runs once on every node: it takes no --replicas",
            service.name
        )));
    }
    let dry_run = args.template.dry_run;
    let before = spec.clone();
    change(args, &mut spec)?;
    let is_same = spec == before && replicas.is_none_or(|replicas| replicas == service.desired);
    let update = ServiceUpdate { spec, replicas, expected: Some(service.revision) };
    if dry_run {
        return plan::show(&context, &Proposal::Update { service: service.id, update: Box::new(update) })
            .await;
    }
    let path = path(&["services", &service.id]);
    let changed: ServiceChanged = context.client.change(Method::PUT, &path, &update).await?;
    if is_same {
        context.output.note(&format!("nothing changed: `{}` is like that already", service.name));
    }
    let want = replicas.map_or(Want::Settled, Want::Replicas);
    service::settle(&context, changed, want, false).await
}

fn change(args: Update, spec: &mut Spec) -> Result<(), Error> {
    let Update { service: _, image, runtime, args, env_rm, label_rm, constraint_rm, publish_rm, template } =
        args;
    if let Some(runtime) = runtime.map(Runtime::from).filter(|runtime| *runtime != spec.template.runtime) {
        spec.template.runtime = runtime;
        // Plain processes have no image; for the other way round one must be given.
        spec.template.image.clear();
    }
    if let Some(image) = image {
        spec.template.image = image;
    }
    if let Some(command) = args {
        spec.template.command = command;
    }
    for key in &env_rm {
        remove(&mut spec.template.env, "variable", key, |pair| key_of(pair) == key)?;
    }
    for key in &label_rm {
        remove(&mut spec.labels, "label", key, |pair| key_of(pair) == key)?;
    }
    for expression in &constraint_rm {
        remove(&mut spec.placement.constraints, "constraint", expression, |other| other == expression)?;
    }
    for (target, protocol) in publish_rm {
        unpublish(&mut spec.template.ports, target, protocol)?;
    }
    create::apply(template, spec);
    Ok(())
}

fn unpublish(ports: &mut Vec<Port>, target: u16, protocol: Option<Protocol>) -> Result<(), Error> {
    let is_it = |port: &Port| port.target == target && protocol.is_none_or(|of| port.protocol == of);
    let protocols: BTreeSet<Protocol> =
        ports.iter().filter(|port| is_it(port)).map(|port| port.protocol).collect();
    if protocols.len() > 1 {
        return Err(Error::Usage(format!(
            "port {target} is published for tcp and for udp: say which, as `{target}/udp`"
        )));
    }
    let shown = match protocol {
        None => target.to_string(),
        Some(Protocol::Tcp) => format!("{target}/tcp"),
        Some(Protocol::Udp) => format!("{target}/udp"),
    };
    remove(ports, "published port", &shown, is_it)
}

fn key_of(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

fn remove<T>(items: &mut Vec<T>, kind: &str, shown: &str, is_it: impl Fn(&T) -> bool) -> Result<(), Error> {
    let before = items.len();
    items.retain(|item| !is_it(item));
    if items.len() == before {
        return Err(Error::Usage(format!("the service has no {kind} `{shown}` to remove")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(published: u16, target: u16, protocol: Protocol) -> Port {
        Port { host_ip: String::new(), published, target, protocol }
    }

    #[test]
    fn a_port_is_removed_by_its_target_and_of_two_protocols_by_its_own() {
        let dns = [port(53, 53, Protocol::Tcp), port(53, 53, Protocol::Udp), port(80, 8080, Protocol::Tcp)];
        let left = |target, protocol| {
            let mut ports = dns.to_vec();
            match unpublish(&mut ports, target, protocol) {
                Ok(()) => Ok(ports),
                Err(Error::Usage(why)) => Err(why),
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(left(8080, None), Ok(dns[..2].to_vec()));
        assert_eq!(left(53, Some(Protocol::Udp)), Ok(vec![dns[0].clone(), dns[2].clone()]));
        let refused = |target, protocol| left(target, protocol).expect_err("it is not clear which");
        assert!(refused(53, None).contains("say which, as `53/udp`"));
        assert!(refused(80, None).contains("no published port `80`"));
        assert!(refused(8080, Some(Protocol::Udp)).contains("no published port `8080/udp`"));
    }
}
