//! Random graphs of sources, transforms and sinks, with faults at the commits: what each sink holds is what a
//! plain model of the graph says.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use culvert_api::{ChangeBatch, Result, TableSchema, Transform};

use super::Numbers;
use super::memory::{Memory, Scene};
use crate::graph::{FailurePolicy, Node, NodeKind};

/// Numbers that look random and are the same for one seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit as u64).unwrap()
    }

    /// One or two of the first `limit`.
    fn inputs(&mut self, limit: usize) -> Vec<usize> {
        let first = self.below(limit);
        let second = self.below(limit);
        if first == second || self.below(2) == 0 { vec![first] } else { vec![first, second] }
    }
}

/// What a node does to the numbers of one table.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// The numbers from here on.
    Count(i64),
    Add(i64),
    /// Those that leave this rest when divided by three.
    Third(i64),
    /// Odd numbers go to another table, which has the same columns.
    Part,
    /// Drops the table of this number.
    Without(u64),
}

impl Transform for Act {
    fn name(&self) -> &str {
        "Act"
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        let mut other = input.clone();
        other.id.table.push_str("_odd");
        Ok(match self {
            Act::Without(table) if input.id.table == format!("t{table}") => vec![],
            Act::Part => vec![input.clone(), other],
            _ => vec![input.clone()],
        })
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let numbers = batch.rows.column(0).as_primitive::<Int64Type>().clone();
        let those = |passes: &dyn Fn(i64) -> bool, output: &Arc<TableSchema>| {
            let passes = numbers.values().iter().map(|number| passes(*number)).collect();
            let left = batch.clone().only(&passes).unwrap();
            left.map(|batch| ChangeBatch { schema: Arc::clone(output), ..batch })
        };
        Ok(match (self, outputs) {
            (Act::Add(more), [output]) => {
                let sums = Int64Array::from_iter_values(numbers.values().iter().map(|number| number + more));
                let rows = RecordBatch::try_new(output.arrow.clone(), vec![Arc::new(sums)]).unwrap();
                vec![ChangeBatch { schema: Arc::clone(output), rows, ..batch }]
            }
            (Act::Third(rest), [output]) => {
                those(&|number| number % 3 == *rest, output).into_iter().collect()
            }
            (Act::Part, [even, odd]) => {
                let both = [those(&|n| n % 2 == 0, even), those(&|n| n % 2 != 0, odd)];
                both.into_iter().flatten().collect()
            }
            (_, [output]) => vec![ChangeBatch { schema: Arc::clone(output), ..batch }],
            _ => vec![],
        })
    }
}

const BATCHES_EACH: u64 = 12;
const ROWS_EACH: usize = 20;

/// Sources, transforms and what each sink reads, all from the seed.
struct Graph {
    nodes: Vec<(Act, Vec<usize>)>,
    sinks: Vec<Vec<usize>>,
}

impl Graph {
    fn of(seed: u64) -> Graph {
        let mut random = Random(seed);
        let sources = 1 + random.below(3);
        let mut nodes: Vec<(Act, Vec<usize>)> =
            (0..sources).map(|at| (Act::Count(at as i64 * 1_000), vec![])).collect();
        for _ in 0..random.below(6) {
            let inputs = random.inputs(nodes.len());
            let act = match random.below(4) {
                0 => Act::Add(1 + random.below(9) as i64),
                1 => Act::Third(random.below(3) as i64),
                2 => Act::Part,
                _ => Act::Without(random.below(sources) as u64),
            };
            nodes.push((act, inputs));
        }
        let sinks = (0..1 + random.below(3)).map(|_| random.inputs(nodes.len())).collect();
        Graph { nodes, sinks }
    }

    fn nodes(seed: u64) -> Vec<Node> {
        let graph = Graph::of(seed);
        let node = |(at, (act, inputs)): (usize, (Act, Vec<usize>))| {
            let kind = match act {
                // Two sources in a row share a table.
                Act::Count(from) => NodeKind::Source(Arc::new(Numbers {
                    table: at as u64 / 2,
                    batches: BATCHES_EACH,
                    rows: ROWS_EACH,
                    from,
                })),
                act => NodeKind::Transform(Arc::new(act)),
            };
            Node { name: format!("n{at}"), kind, inputs, on_failure: FailurePolicy::Stop }
        };
        graph.nodes.into_iter().enumerate().map(node).collect()
    }

    /// The rows that leave a node: table and number, in no order.
    fn rows(&self, at: usize) -> Vec<(String, i64)> {
        let (act, inputs) = &self.nodes[at];
        let entering = inputs.iter().flat_map(|input| self.rows(*input));
        match *act {
            Act::Count(from) => {
                let count = BATCHES_EACH as i64 * ROWS_EACH as i64;
                (from..from + count).map(|number| (format!("t{}", at / 2), number)).collect()
            }
            Act::Add(more) => entering.map(|(table, number)| (table, number + more)).collect(),
            Act::Third(rest) => entering.filter(|(_, number)| number % 3 == rest).collect(),
            Act::Without(gone) => entering.filter(|(table, _)| *table != format!("t{gone}")).collect(),
            Act::Part => entering
                .map(
                    |(table, number)| {
                        if number % 2 == 0 { (table, number) } else { (table + "_odd", number) }
                    },
                )
                .collect(),
        }
    }

    fn at_sink(&self, sink: usize) -> Vec<i64> {
        let rows = self.sinks[sink].iter().flat_map(|input| self.rows(*input));
        sorted(rows.map(|(_, number)| number).collect())
    }
}

fn sorted(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sink_of_a_random_graph_holds_what_the_model_says() {
    let mut held = 0;
    for seed in 0..60 {
        let graph = Graph::of(seed);
        let mut random = Random(seed ^ 0xFEED);
        let mut sinks = Vec::new();
        for _ in &graph.sinks {
            let mut commit = 0;
            let faults: Vec<(u64, bool)> = (0..random.below(4))
                .map(|_| {
                    commit += 1 + random.below(4) as u64;
                    (commit, random.below(2) == 0)
                })
                .collect();
            sinks.push(Memory::failing(&faults));
        }
        let scene = Scene {
            before: Some((Graph::nodes, seed, graph.sinks.clone())),
            queue_bytes_max: 1 << random.below(16),
            ..Scene::of(sinks.iter().map(Memory::stops).collect())
        };
        scene.run().await;
        for (at, sink) in sinks.iter().enumerate() {
            assert_eq!(
                sorted(sink.rows()),
                graph.at_sink(at),
                "sink {at} of graph {seed}: {:?}",
                graph.nodes
            );
            held += sink.rows().len();
        }
    }
    assert!(held > 10_000, "the graphs carry rows: {held}");
}
