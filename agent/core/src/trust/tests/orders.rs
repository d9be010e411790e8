//! Whatever is said, by whomever, and in whatever order it comes.

use proptest::prelude::*;

use super::*;

/// What anybody might do to anybody, at some time: often more than they may.
fn acts() -> impl Strategy<Value = Vec<(usize, usize, u8, u64)>> {
    proptest::collection::vec((0usize..5, 0usize..5, 0u8..9, 2u64..40), 1..18)
}

fn record(cast: &Cast, (by, whom, act, ms): (usize, usize, u8, u64)) -> Record {
    match act {
        0 | 1 => cast.admit(by, whom, CONTROL, ms),
        2 => cast.admit(by, whom, WORKER, ms),
        3 => cast.pen(by).role_change(t(ms), cast.id(whom), CONTROL, WALL),
        4 | 5 => cast.pen(by).role_change(t(ms), cast.id(whom), WORKER, WALL),
        6 => cast.pen(by).operator(t(ms), "o".to_string(), cast.keys[whom].public_key(), WALL),
        7 => cast.remove(by, whom, ms),
        _ => cast.pen(by).removal(t(ms), cast.id(whom), true, WALL),
    }
}

/// A node as far as membership records go: it has those that are valid. At first all are control nodes.
struct Holder {
    trust: Trust,
    stands: BTreeMap<Vec<u8>, Record>,
}

impl Holder {
    fn new(cast: &Cast) -> Self {
        let mut holder = Self { trust: cast.trust(&[]), stands: BTreeMap::new() };
        for node in 1..cast.keys.len() {
            holder.hear(cast, &cast.admit(0, node, CONTROL, 2));
        }
        holder
    }

    fn hear(&mut self, cast: &Cast, record: &Record) {
        if self.stands.contains_key(&record.key) || cast.judge(&self.trust, record) != Verdict::Valid {
            return;
        }
        self.stands.insert(record.key.clone(), record.clone());
        let mut touched = self.trust.apply(record, cast.crypto());
        // As nodes do: what is not named is not judged again.
        while !touched.is_empty() {
            let is_void = |record: &Record| {
                touched.contains(&record.author) && cast.judge(&self.trust, record) != Verdict::Valid
            };
            let void = self.stands.iter().filter(|(_, record)| is_void(record));
            let fallen: Vec<Vec<u8>> = void.map(|(key, _)| key.clone()).collect();
            touched.clear();
            for key in fallen {
                self.stands.remove(&key);
                if let Ok(Some(Key::Membership(key))) = Key::from_bytes(&key) {
                    touched.extend(self.trust.withdraw(&key));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Standings and verdicts are a function of the set: order, repetition and refused records change
    /// nothing.
    #[test]
    fn the_order_of_arrival_changes_nothing(acts in acts(), order in any::<u64>()) {
        let cast = Cast::new(5);
        let mut records: Vec<Record> = acts.into_iter().map(|act| record(&cast, act)).collect();
        records.push(cast.genesis.clone());
        let mut one = Trust::new(cast.cluster);
        for record in &records {
            one.apply(record, cast.crypto());
        }
        let mut shuffled = records.clone();
        let mut seed = order;
        for at in (1..shuffled.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(at, (seed >> 33) as usize % (at + 1));
        }
        let mut two = Trust::new(cast.cluster);
        for record in shuffled.iter().chain(&records) {
            two.apply(record, cast.crypto());
        }
        // And a third that hears only what counts, as a node that joins after all that.
        let valid = |trust: &Trust, record: &&Record| trust.judge(record, cast.crypto()) == Verdict::Valid;
        let mut three = Trust::new(cast.cluster);
        for record in shuffled.iter().filter(|record| valid(&one, record)) {
            three.apply(record, cast.crypto());
        }
        let standings = |trust: &Trust| trust.standings().collect::<Vec<_>>();
        prop_assert_eq!(standings(&one), standings(&two));
        prop_assert_eq!(standings(&one), standings(&three));
        for node in 0..5 {
            for ms in [5, 15, 25, 45] {
                let desired = cast.desired(node, ms);
                let verdict = cast.judge(&one, &desired);
                prop_assert_eq!(verdict, cast.judge(&two, &desired));
                prop_assert_eq!(verdict == Verdict::Valid, valid(&three, &&desired));
            }
        }
        for record in &records {
            prop_assert_eq!(cast.judge(&one, record), cast.judge(&two, record));
        }
        let heirs = one.standings().any(|(_, standing)| standing.is_member() && standing.ever_control);
        prop_assert_eq!(one.controls().next().is_some(), heirs);
    }

    /// Whoever's standing changed is named, so that their records are judged again.
    #[test]
    fn a_change_of_standing_is_told(acts in acts()) {
        let cast = Cast::new(5);
        let mut trust = Trust::new(cast.cluster);
        let records = acts.into_iter().map(|act| record(&cast, act)).chain([cast.genesis.clone()]);
        for record in records {
            let before = trust.clone();
            let told = trust.apply(&record, cast.crypto());
            for node in 0..5 {
                let id = cast.id(node);
                let verdicts = |trust: &Trust| {
                    [5, 15, 25, 45].map(|ms| cast.judge(trust, &cast.desired(node, ms)))
                };
                let same = before.standing(id) == trust.standing(id) && verdicts(&before) == verdicts(&trust);
                prop_assert!(same || told.contains(&id));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever each of two heard, and in whatever order, they come to the same by telling each other what
    /// stands. What was taken away on the way counts for nothing, even where what made it void fell too.
    #[test]
    fn who_exchange_what_stands_agree(
        acts in proptest::collection::vec((0usize..4, 0usize..4, 3u8..9, 10u64..30), 1..16),
        heard in proptest::collection::vec((0usize..2, any::<prop::sample::Index>()), 1..40),
    ) {
        let cast = Cast::new(4);
        let records: Vec<Record> = acts.into_iter().map(|act| record(&cast, act)).collect();
        let mut both = [Holder::new(&cast), Holder::new(&cast)];
        for (which, what) in heard {
            both[which].hear(&cast, what.get(&records));
        }
        let mut rounds = 0;
        let [one, two] = &mut both;
        while one.stands != two.stands {
            prop_assert!(rounds < 40, "they tell each other the same for ever");
            rounds += 1;
            one.stands.clone().values().for_each(|record| two.hear(&cast, record));
            two.stands.clone().values().for_each(|record| one.hear(&cast, record));
        }
        let standings = |holder: &Holder| holder.trust.standings().collect::<Vec<_>>();
        prop_assert_eq!(standings(one), standings(two));
        for record in &records {
            let valid = |holder: &Holder| cast.judge(&holder.trust, record) == Verdict::Valid;
            prop_assert_eq!(valid(one), valid(two));
        }
    }
}
