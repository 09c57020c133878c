//! What a million customers cost as their number grows: CPU and memory.

use crate::beside::Task;
use crate::stage::{Stage, setting};
use crate::table::median;

const MILLIONTHS: f64 = 1e6;

pub fn measure() {
    let (most, rounds) = (setting("customers", 1_000_000), setting("rounds", 5));
    let sizes = [most / 10, most, most * 5];
    let stages = sizes.map(Stage::set);
    stages.iter().for_each(Stage::begin_round);
    let tasks = [Task::FirstSync, Task::Touched];
    let mut costs = sizes.map(|_| tasks.map(|_| Vec::new()));
    for round in 1..=rounds {
        for (stage, costs) in stages.iter().zip(&mut costs) {
            stage.forget();
            for (task, costs) in tasks.into_iter().zip(costs) {
                stage.change(task);
                costs.push(stage.product());
            }
        }
        eprintln!("round {round} of {rounds} done");
    }
    println!("{:<26} {:>10} {:>18} {:>9}", "task", "customers", "CPU-s per million", "peak MiB");
    for (at, task) in tasks.into_iter().enumerate() {
        for (customers, costs) in sizes.into_iter().zip(&costs) {
            let cpu = median(
                costs[at].iter().map(|cost| cost.cpu.as_secs_f64() * MILLIONTHS / f64::from(customers)),
            );
            let peak = median(costs[at].iter().map(|cost| cost.peak_kib as f64 / 1024.0));
            println!("{:<26} {customers:>10} {cpu:>18.2} {peak:>9.1}", task.name());
        }
    }
}
