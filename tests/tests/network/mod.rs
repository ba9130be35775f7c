//! Networks that break: between a job and its source, and between it and its target. Whatever breaks, the job
//! goes on within ten seconds of the network's being well again, and tells within thirty of standing still.

#![allow(clippy::print_stdout)]

mod alarm;
mod half_open;
mod heal;
mod scene;
mod steps;
