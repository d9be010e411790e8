//! What each command asks of the agent, and what it makes of the answer.

mod cluster;
pub mod complete;
mod crashes;
mod create;
mod dev;
mod each;
mod local;
mod logs;
mod node;
mod operator;
mod plan;
mod recover;
mod service;
mod task;
mod token;
mod update;
mod wait;

use std::time::Duration;

use sleep_wire::api::{Durability, Status};

use crate::args::{Cli, Command, Global, NodeCommand, PlanCommand};
use crate::client::Client;
use crate::error::Error;
use crate::output::Output;

/// Between two looks at what an agent says, where it does not tell by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Carries out what was typed, and returns the exit code.
pub async fn run(cli: Cli) -> u8 {
    let Cli { global, command } = cli;
    let output = Output::new(&global);
    let changes = command.changes();
    match dispatch(&output, global, command).await {
        Ok(()) => 0,
        Err(error) => {
            output.error(&error, changes);
            error.exit_code()
        }
    }
}

async fn dispatch(output: &Output, global: Global, command: Command) -> Result<(), Error> {
    match command {
        Command::Dev(args) => dev::run(output, &args).await,
        Command::Completion { shell } => complete::script(output, shell),
        Command::Man => local::man(output),
        Command::DialStdio { socket } => local::dial_stdio(socket).await,
        Command::Version => local::version(output, &global).await,
        Command::Cluster(command) => cluster::run(output, global, command).await,
        Command::Node(command) => node::run(Context::open(output, global).await?, command).await,
        Command::Service(command) => service::run(output, global, command).await,
        Command::Operator(command) => operator::run(Context::open(output, global).await?, command).await,
        Command::Why { subject } => task::why(&Context::open(output, global).await?, &subject).await,
        Command::Plan(command) => planned(output, global, command).await,
        Command::Run(create) => create::run(output, global, *create).await,
        Command::Ls => service::list(&Context::open(output, global).await?).await,
        Command::Ps(ps) => task::list(&Context::open(output, global).await?, &ps).await,
        Command::Logs(logs) => logs::run(&Context::open(output, global).await?, &logs).await,
        Command::Scale(scale) => service::scale(Context::open(output, global).await?, &scale).await,
        Command::Rm(remove) => service::remove(Context::open(output, global).await?, &remove).await,
    }
}

/// The same commands, and nothing is carried out.
async fn planned(output: &Output, global: Global, command: PlanCommand) -> Result<(), Error> {
    match command {
        PlanCommand::Create(mut create) => {
            create.template.dry_run = true;
            create::run(output, global, *create).await
        }
        PlanCommand::Update(mut update) => {
            update.template.dry_run = true;
            update::run(Context::open(output, global).await?, *update).await
        }
        PlanCommand::Scale(mut scale) => {
            scale.dry_run = true;
            service::scale(Context::open(output, global).await?, &scale).await
        }
        PlanCommand::Drain { nodes } => {
            let drain = NodeCommand::Drain { nodes, dry_run: true };
            node::run(Context::open(output, global).await?, drain).await
        }
        PlanCommand::Activate { nodes } => {
            let activate = NodeCommand::Activate { nodes, dry_run: true };
            node::run(Context::open(output, global).await?, activate).await
        }
    }
}

/// What a command works with.
pub struct Context<'a> {
    /// The agent.
    pub client: Client,
    /// The way to print.
    pub output: &'a Output,
    /// Options that every command takes.
    pub global: Global,
    /// What the agent said of itself.
    pub status: Status,
}

impl<'a> Context<'a> {
    /// Reaches an agent. One that sees a minority says so first.
    pub async fn open(output: &'a Output, global: Global) -> Result<Self, Error> {
        let client = Client::connect(&global).await?;
        let status: Status = client.get("/v1/status").await?;
        if status.cluster.is_some() && status.seen < status.nodes && status.seen * 2 <= status.nodes {
            output.note(&format!(
                "seen from {}: {} of {} nodes; writes merge when the split heals",
                status.seen_from, status.seen, status.nodes
            ));
        }
        Ok(Self { client, output, global, status })
    }

    /// Says so if a change is not as durable as it ought to be.
    pub fn durable(&self, durability: Durability) {
        match durability {
            Durability::Alone | Durability::Shared => {}
            Durability::HereOnly => self.output.warning(&format!(
                "only {} has this so far: no other node confirmed in time; it spreads when one is reached",
                self.status.name
            )),
        }
    }
}
