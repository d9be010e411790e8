//! Hosts that are given other addresses.

use super::Draw;
use crate::scenario::Fault;

impl Draw {
    /// Hosts move, two swap their places, or all but one move at once. One stays where it is in all chapters:
    /// if nobody is where anybody takes it to be, nobody can be found.
    pub(super) fn moves(&mut self) {
        let mut stream = self.stream("moves");
        let drawn = self.host(&mut stream);
        let stays = *self.stays.get_or_insert(drawn);
        for _ in 0..stream.between(1, 6) {
            let (at, node, with) = (stream.below(self.lasts), self.host(&mut stream), self.host(&mut stream));
            match stream.below(10) {
                0..2 => self.all_but(stays, at),
                2..5 if node != with && node != stays && with != stays => {
                    self.add(at, Fault::AddressesSwapped { node, with });
                }
                _ if node != stays => self.add(at, Fault::AddressesChange { node }),
                _ => {}
            }
        }
    }

    fn all_but(&mut self, stays: usize, at: crate::world::Time) {
        for node in (0..self.len()).filter(|node| *node != stays) {
            self.add(at, Fault::AddressesChange { node });
        }
    }
}
