#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::load::Format;
use crate::substitute::Variables;

fn graph(text: &str) -> Result<JobGraph, Vec<String>> {
    let variables = Variables::with_environment(&[], |_| None).unwrap();
    let job = JobFile::parse(text, Path::new("a.conf"), Format::Hocon, &variables).unwrap();
    job.graph().map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// `id<-input,input` for every node, in order.
fn drawn(graph: &JobGraph) -> Vec<String> {
    let draw = |node: &Node| {
        let inputs: Vec<&str> = node.inputs.iter().map(|input| graph.nodes[*input].id.as_str()).collect();
        format!("{}<-{}", node.id, inputs.join(","))
    };
    graph.nodes.iter().map(draw).collect()
}

fn good(text: &str) -> Vec<String> {
    let graph = graph(text).unwrap();
    assert_eq!(graph.warnings, []);
    drawn(&graph)
}

#[test]
fn a_straight_line_needs_no_names() {
    let drawing = good("source { MySQL-CDC {} }\ntransform { Sql {}, Filter {}, Sql {} }\nsink { jdbc {} }");
    assert_eq!(
        drawing,
        [
            "source.mysql-cdc<-",
            "transform.sql<-source.mysql-cdc",
            "transform.filter<-transform.sql",
            "transform.sql-2<-transform.filter",
            "sink.jdbc<-transform.sql-2",
        ]
    );
}

#[test]
fn names_of_both_generations_connect() {
    let drawing = good(
        "source { A { plugin_output = a }, B { result_table_name = b } }\n\
         transform { T { plugin_input = [a, b], plugin_output = t }, U { source_table_name = \"a,t\", result_table_name = u } }\n\
         sink { K { source_table_name = u }, K { plugin_input = t }, L { plugin_input = [\"a\", \"a\"] } }",
    );
    assert_eq!(drawing, ["a<-", "b<-", "t<-a,b", "u<-a,t", "sink.k<-u", "sink.k-2<-t", "sink.l<-a"]);
}

#[test]
fn order_follows_the_data_not_the_file() {
    let text = "source { A { plugin_output = a } }\n\
        transform { Two { plugin_input = one, plugin_output = two }, One { plugin_input = a, plugin_output = one } }\n\
        sink { K { plugin_input = two } }";
    assert_eq!(good(text), ["a<-", "one<-a", "two<-one", "sink.k<-two"]);
    let graph = graph(text).unwrap();
    assert_eq!((graph.nodes[1].role, graph.nodes[1].block_index), (Role::Transform, 1));
}

#[test]
fn a_wrong_name_in_the_simplest_line_only_warns() {
    let graph = graph("source { A { plugin_output = a } }\nsink { K { plugin_input = aa } }").unwrap();
    assert_eq!(drawn(&graph), ["a<-", "sink.k<-a"]);
    assert_eq!(
        graph.warnings[0].to_string(),
        "a.conf:2: option 'plugin_input' of sink K is 'aa', and no source or transform puts that out; the dataset \
         before it is read instead; did you mean 'a'?"
    );
}

#[test]
fn one_name_for_everything_in_the_simplest_line_only_warns() {
    let text = "source { A { result_table_name = x } }\n\
        transform { T { source_table_name = x, result_table_name = x } }\nsink { K { source_table_name = x } }";
    let graph = graph(text).unwrap();
    assert_eq!(drawn(&graph), ["x<-", "transform.t<-x", "sink.k<-transform.t"]);
    assert_eq!(graph.warnings.len(), 1);
}

#[test]
fn wrong_names_are_refused() {
    let two = |transforms: &str, sinks: &str| {
        graph(&format!(
            "source {{ A {{ plugin_output = a }} }}\ntransform {{ {transforms} }}\nsink {{ {sinks} }}"
        ))
        .unwrap_err()
    };
    assert_eq!(
        two("", "K { plugin_input = a }\nL { source_table_name = ab }"),
        [
            "a.conf:4: option 'source_table_name' of sink L is 'ab', and no source or transform puts that out; did you \
          mean 'a'?"
        ]
    );
    assert_eq!(
        two("T { plugin_output = t }", "K { plugin_input = t }\nL { }"),
        [
            "a.conf:4: sink L must name what it reads from with option 'plugin_input'; it may be left out only where one \
          dataset could be meant; datasets of this file are a, t"
        ]
    );
    assert_eq!(
        two("T { plugin_input = a }", "K { plugin_input = a }, L { plugin_input = a }"),
        [
            "a.conf:2: what transform T puts out is read by nobody; give it a plugin_output, and name that in the \
          plugin_input of a transform or sink"
        ]
    );
    assert_eq!(
        two("T { plugin_input = a, plugin_output = t }", "K { plugin_input = a }"),
        [
            "a.conf:2: dataset 't' of transform T is read by nobody; name it in the plugin_input of a transform or sink, \
          or remove the block"
        ]
    );
    let twice = two(
        "T { plugin_input = a, plugin_output = t }\nU { plugin_input = a, result_table_name = t }",
        "K { plugin_input = t }",
    );
    assert_eq!(
        twice,
        [
            "a.conf:3: option 'result_table_name' of transform U and of transform T (a.conf:2) is 't' in both; dataset \
          names must differ"
        ]
    );
}

#[test]
fn circles_are_refused() {
    let circle = graph(
        "source { A { plugin_output = a } }\n\
         transform { T { plugin_input = [a, u], plugin_output = t }\n U { plugin_input = t, plugin_output = u } }\n\
         sink { K { plugin_input = u } }",
    );
    assert_eq!(
        circle.unwrap_err(),
        [
            "a.conf:3: datasets read each other in a circle: transform U ('u') → transform T ('t'); let one of them read a \
          dataset outside the circle instead"
        ]
    );
    let itself = graph(
        "source { A { plugin_output = a } }\ntransform { T { plugin_input = [a, t], plugin_output = t } }\n\
         sink { K { plugin_input = t } }",
    );
    assert_eq!(
        itself.unwrap_err(),
        [
            "a.conf:2: datasets read each other in a circle: transform T ('t'); let one of them read a dataset outside the \
          circle instead"
        ]
    );
}

#[test]
fn names_may_be_left_out_where_one_dataset_could_be_meant() {
    assert_eq!(
        good("source { A {} }\nsink { K {}, L {}, K { plugin_parallelism = 1 } }"),
        ["source.a<-", "sink.k<-source.a", "sink.l<-source.a", "sink.k-2<-source.a"]
    );
    assert_eq!(
        good("source { A { plugin_output = a } }\nsink { K { plugin_input = a }, L {} }"),
        ["a<-", "sink.k<-a", "sink.l<-a"]
    );
    // The transform can read the source alone; what the sinks read has to be said.
    assert_eq!(
        good(
            "source { A { plugin_output = a } }\ntransform { T { plugin_output = t } }\n\
             sink { K { plugin_input = a }, L { source_table_name = t } }"
        ),
        ["a<-", "t<-a", "sink.k<-a", "sink.l<-t"]
    );
    let several = graph("source { A {}\n B {} }\nsink { K {} }").unwrap_err();
    assert_eq!(several.len(), 1);
    assert!(several[0].starts_with("a.conf:3: sink K must name what it reads from"), "{several:?}");
}

#[test]
fn independent_flows_stand_in_one_file() {
    let drawing = good(
        "source { A { plugin_output = a }, B { plugin_output = b } }\n\
         transform { T { plugin_input = b, plugin_output = c } }\n\
         sink { K { plugin_input = a }, K { plugin_input = c } }",
    );
    assert_eq!(drawing, ["a<-", "b<-", "c<-b", "sink.k<-a", "sink.k-2<-c"]);
}

#[test]
fn every_wrong_name_is_told_at_once() {
    let found = graph(
        "source { A { plugin_output = orders }\n B { plugin_output = orders } }\n\
         sink { K { plugin_input = [order, orders, nothing] }\n L { plugin_input = \"ordres\" } }",
    )
    .unwrap_err();
    let starts: Vec<&str> = found.iter().map(|text| text.split(", and no").next().unwrap()).collect();
    assert_eq!(
        starts,
        [
            "a.conf:2: option 'plugin_output' of source B and of source A (a.conf:1) is 'orders' in both; dataset names \
             must differ",
            "a.conf:3: option 'plugin_input' of sink K is 'order'",
            "a.conf:3: option 'plugin_input' of sink K is 'nothing'",
            "a.conf:4: option 'plugin_input' of sink L is 'ordres'",
        ]
    );
    assert!(found[1].ends_with("did you mean 'orders'?"), "{found:?}");
    assert!(found[2].ends_with("datasets of this file are orders"), "{found:?}");
}
