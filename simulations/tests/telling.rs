//! What people are told of what they asked for, when not all is well.

use sleep_core::io::{Command, Durability, Reply};
use sleep_core::node::Tuning;
use sleep_core::view::{ProgressRow, TaskFilter};
use sleep_sim::invariants::Checks;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, World};
use sleep_wire::key::SlotKey;
use sleep_wire::node::Availability;
use sleep_wire::spec::{Mode, Revision, TaskTemplate};
use sleep_wire::{CommandId, ServiceId};

const HOSTS: usize = 4;

/// A cluster old enough for everybody to have got a seat who should have one, with a service of eight.
fn settled(seed: u64) -> (World, ServiceId) {
    let mut world = World::new(HOSTS, seed, Network::default(), &Tuning::default());
    world.checks = Some(Checks::default());
    story::form(&mut world).expect("a calm world");
    let service = story::create(&mut world, 0, "web", 8).expect("a calm world");
    story::running(&mut world, 30 * SECOND, service, 8).expect("a calm world");
    let end = world.now + 40 * SECOND;
    world.until(end, |_| false);
    (world, service)
}

fn progress(world: &World, host: usize, service: ServiceId) -> ProgressRow {
    let node = world.hosts[host].node.as_ref().expect("its agent runs");
    node.progress(world.hosts[host].now(world.now), service).expect("the service is known")
}

/// What a node writes that reaches nobody is durable there only: the others are members still.
#[test]
fn a_node_that_is_cut_off_says_that_its_change_is_only_here() {
    for seed in 0..10 {
        let (mut world, service) = settled(seed);
        let alone = (story::holder(&mut world, SECOND).expect("somebody leads") + 1) % HOSTS;
        for other in (0..HOSTS).filter(|other| *other != alone) {
            world.cut(alone, other);
            world.cut(other, alone);
        }
        let forgotten = world.now + 30 * SECOND;
        world.until(forgotten, |_| false);
        let command = CommandId(world.draw());
        let scale = Command::ServiceScale { scales: vec![(service, 9)], command };
        let ticket = world.command(alone, scale);
        let told = story::answer(&mut world, ticket, "scale");
        assert_eq!(told, Ok(Reply::Done { changed: true, durability: Durability::HereOnly }), "seed {seed}");
        world.heal();
        story::running(&mut world, 60 * SECOND, service, 9).expect("it is carried out once others know");
        assert_eq!(world.broken, None);
    }
}

/// Who waits for a scale at a node that does not plan is told that it is done, though a node is dead.
#[test]
fn a_scale_down_at_a_node_that_does_not_plan_ends_though_another_is_dead() {
    for seed in 0..10 {
        let (mut world, service) = settled(seed);
        let holder = story::holder(&mut world, SECOND).expect("somebody leads");
        let (dead, asked) = ((holder + 1) % HOSTS, (holder + 2) % HOSTS);
        world.kill(dead);
        let known = world.now + 20 * SECOND;
        world.until(known, |_| false);
        story::scale(&mut world, asked, service, 3).expect("most are well");
        let end = world.now + 20 * SECOND;
        let converged = world.until(end, |world| progress(world, asked, service).converged);
        assert!(converged, "seed {seed}: {:?}", progress(&world, asked, service));
        assert_eq!(world.broken, None);
    }
}

/// Where no node takes a service any more, who waits for it is told that waiting will not help.
#[test]
fn what_every_node_was_drained_of_is_stuck() {
    for seed in 0..10 {
        let (mut world, service) = settled(seed);
        for host in 0..HOSTS {
            let node = world.hosts[host].id;
            let command = CommandId(world.draw());
            let availability = Availability::Drained;
            let ticket = world.command(host, Command::NodeAvailability { node, availability, command });
            story::answer(&mut world, ticket, "drain").expect("a calm world");
        }
        for host in 0..HOSTS {
            let end = world.now + 30 * SECOND;
            let stuck = world.until(end, |world| progress(world, host, service).stuck);
            assert!(stuck, "seed {seed}, node{}: {:?}", host + 1, progress(&world, host, service));
        }
        let node = world.hosts[0].id;
        let command = CommandId(world.draw());
        let availability = Availability::Active;
        let ticket = world.command(1, Command::NodeAvailability { node, availability, command });
        story::answer(&mut world, ticket, "activate").expect("a calm world");
        let end = world.now + 60 * SECOND;
        let converged = world.until(end, |world| progress(world, 2, service).converged);
        assert!(converged, "seed {seed}: {:?}", progress(&world, 2, service));
        assert_eq!(world.broken, None);
    }
}

/// What the law on plans compares is what people are shown, value for value, whoever plans and whoever is
/// dead.
#[test]
fn what_is_compared_is_what_is_shown() {
    for seed in 0..5 {
        let (mut world, _) = settled(seed);
        let everywhere = Command::ServiceCreate {
            name: "everywhere".into(),
            mode: Mode::Global,
            singleton: false,
            replicas: 1,
            spec: Box::new(Revision::running(TaskTemplate {
                image: "app".into(),
                ..TaskTemplate::default()
            })),
            command: CommandId(world.draw()),
        };
        let ticket = world.command(1, everywhere);
        story::answer(&mut world, ticket, "create").expect("a calm world");
        let dies = world.now + 10 * SECOND;
        let ends = dies + 30 * SECOND;
        let mut rows = 0;
        while world.now < ends {
            let next = world.now + SECOND;
            world.until(next, |_| false);
            if world.now >= dies {
                world.kill(3);
            }
            for host in &world.hosts {
                let Some(node) = &host.node else { continue };
                let now = host.now(world.now);
                let mut wanted = node.wanted(now);
                wanted.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
                let shown = node.services(now).into_iter();
                let shown = shown.map(|row| (row.id, row.name, row.revision, row.desired));
                let wanted: Vec<_> =
                    wanted.into_iter().map(|row| (row.id, row.name, row.revision, row.desired)).collect();
                assert_eq!(wanted, shown.collect::<Vec<_>>());
                let key = |service, slot| SlotKey { service, slot };
                let shown = node.tasks(&TaskFilter::default()).into_iter();
                let mut shown: Vec<_> = shown
                    .map(|row| (key(row.service, row.slot), row.task, row.node, row.life, row.wanted))
                    .collect();
                let placed = node.placed();
                let mut placed: Vec<_> =
                    placed.map(|row| (row.slot, row.task, row.node, row.life, row.wanted)).collect();
                shown.sort_by_key(|row| row.0);
                placed.sort_by_key(|row| row.0);
                rows += placed.len();
                assert_eq!(placed, shown);
            }
        }
        assert!(rows > 1000, "{rows} rows");
        assert_eq!(world.broken, None);
    }
}
