//! How a world stood when its run failed, as text: what slots say, what agents tell, what engines run.

use std::fmt::Write as _;

use sleep_core::view::TaskFilter;
use sleep_wire::durable::{Cell, LeaseCell};
use sleep_wire::key::MembershipKey;
use sleep_wire::slot::Slot;
use sleep_wire::trust::RoleChange;
use sleep_wire::{Key, Record, decode};

use crate::world::World;

/// The page.
pub fn page(world: &World) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let mut line = |text: std::fmt::Arguments<'_>| {
        page.write_fmt(text).expect("memory is there");
        page.push('\n');
    };
    for host in &world.hosts {
        let now = host.now(world.now);
        let Some(node) = &host.node else {
            line(format_args!("{} {:?}: no agent runs", host.name(), host.id));
            continue;
        };
        let status = node.status(now);
        line(format_args!("{} {:?}: leader {:?}, sees {}", host.name(), host.id, status.leader, status.seen));
        if let Some(LeaseCell { promise, config }) = host.disk.cell(Cell::Lease) {
            let config = config.map(|config| (config.id, config.voters));
            line(format_args!("  promised {promise:?}, voters: {config:?}"));
        }
        for record in node.records().filter_map(|bytes| decode::<Record>(bytes).ok()) {
            if let Ok(Some(Key::Membership(key))) = Key::from_bytes(&record.key) {
                let said = match key {
                    MembershipKey::Role { .. } => decode::<RoleChange>(&record.body).ok(),
                    _ => None,
                };
                let role = said.map(|change| change.role);
                line(format_args!("  {key:?} {role:?} by {:?} at {:?}", record.author, record.stamp));
            }
        }
        for row in node.services(now) {
            line(format_args!(
                "  tells of {}: {} of {} run, {:?}",
                row.name, row.running, row.desired, row.update
            ));
        }
        for container in host.engine.containers() {
            let label = container.label().map(|label| (label.slot.slot, label.task));
            line(format_args!("  {} runs: {} {label:?}", container.name, container.running()));
        }
    }
    if let Some((host, node)) = world.hosts.iter().find_map(|host| Some((host, host.node.as_ref()?))) {
        line(format_args!("slots, as {} has them:", host.name()));
        for record in node.records().filter_map(|bytes| decode::<Record>(bytes).ok()) {
            if let Ok(Some(Key::Slot(key))) = Key::from_bytes(&record.key)
                && let Ok(slot) = decode::<Slot>(&record.body)
            {
                line(format_args!("  {} {}: {:?} {slot:?}", key.service, key.slot, record.stamp));
            }
        }
        line(format_args!("tasks, as {} has them:", host.name()));
        for row in node.tasks(&TaskFilter { history: true, ..TaskFilter::default() }) {
            let message = row.status.as_ref().map(|status| (status.running_for_ms, status.message.clone()));
            line(format_args!(
                "  {} {} {:?} on {:?}: {:?}, wanted {}, over {}, {message:?}",
                row.service_name, row.slot, row.task, row.node, row.life, row.wanted, row.history
            ));
        }
    }
    page
}
