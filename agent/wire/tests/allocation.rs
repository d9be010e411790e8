//! `bounded_decode`: what bytes may cost in memory. One test alone, as the allocator counts for the whole
//! process.

#[path = "golden/vectors.rs"]
mod vectors;

use std::alloc::System;

use sleep_wire::encode;
use sleep_wire::message::{Frame, HEADER_LEN};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes allocated while a frame is read, freed again or not, and whether it was one.
fn cost(bytes: &[u8]) -> (usize, bool) {
    let region = Region::new(ALLOCATOR);
    let read = Frame::from_bytes(bytes);
    let is_frame = read.is_ok();
    drop(read);
    (region.change().bytes_allocated, is_frame)
}

/// What is allocated for bytes, at most: 16 times as much, or 4 KiB.
fn deserved(bytes: &[u8]) -> usize {
    (16 * bytes.len()).max(4096)
}

/// A frame's envelope, telling the length of other content.
fn reframed(frame: &[u8], content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).expect("a test's content is short");
    [&frame[..6], &len.to_le_bytes(), content].concat()
}

/// Every byte of every frame, length prefixes among them, replaced by a length that lies.
fn lengths_that_lie() {
    let lies: [&[u8]; 6] = [
        &[250],
        &[251, 0xff, 0xff],
        &[252, 0xff, 0xff, 0xff, 0x7f],
        &[252, 0x80, 0x96, 0x98, 0],
        &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[254, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for (case, frame) in vectors::read("frame") {
        let content = &frame[HEADER_LEN..];
        for at in 0..content.len() {
            for lie in lies {
                let bytes = reframed(&frame, &[&content[..at], lie, &content[at + 1..]].concat());
                let (cost, _) = cost(&bytes);
                assert!(cost <= deserved(&bytes), "{case}, {lie:?} at {at}: {cost} for {}", bytes.len());
            }
        }
    }
}

/// A batch of empty records, a byte each, which would take 24 in memory.
fn vectors_of_nothings() {
    let frame = vectors::read("frame").remove("push_unasked").expect("the frame is in its file");
    let carried = encode(&Frame::from_bytes(&frame).expect("the file holds frames").carried);
    for (count, is_read) in [(100u32, true), (1_000, false), (65_000, false), (1_000_000, false)] {
        let mut content = [carried.as_slice(), &[0, 0, 252], &count.to_le_bytes()].concat();
        content.resize(content.len() + count as usize, 0);
        let bytes = reframed(&frame, &content);
        let (cost, was_read) = cost(&bytes);
        assert!(cost <= deserved(&bytes), "{count} nothings: {cost} for {}", bytes.len());
        assert_eq!(was_read, is_read, "{count} nothings");
    }
}

#[test]
fn bytes_cost_no_more_than_sixteen_times_their_length() {
    lengths_that_lie();
    vectors_of_nothings();
}
