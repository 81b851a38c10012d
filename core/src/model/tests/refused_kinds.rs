//! ResourceQuota, LimitRange, NetworkPolicy, ConfigMap and further kinds: what is accepted, and beside
//! each accepted form the neighbour that is refused.

use super::*;

fn of(api_version: &str, kind: &str, namespace: Option<&str>, body: Value) -> Value {
    let mut object = json!({
        "apiVersion": api_version, "kind": kind, "metadata": metadata(namespace, "x"),
    });
    let object_map = object.as_object_mut().unwrap();
    object_map.extend(body.as_object().unwrap().clone());
    object
}

fn quota(spec: Value) -> Value {
    of("v1", "ResourceQuota", Some("a"), json!({"spec": spec}))
}

fn limits(limits: Value) -> Value {
    let spec = json!({"spec": {"limits": limits}});
    of("v1", "LimitRange", Some("a"), spec)
}

fn network(spec: Value) -> Value {
    let spec = json!({"spec": spec});
    of("networking.k8s.io/v1", "NetworkPolicy", Some("a"), spec)
}

fn config(body: Value) -> Value {
    of("v1", "ConfigMap", Some("a"), body)
}

fn assert_accepted(objects: Vec<Value>) {
    for object in objects {
        let policy = parse_policy(&policy_with(object.clone()));
        assert_eq!(policy.objects[0].content, object);
    }
}

#[test]
fn quotas_count_what_kubernetes_counts() {
    let selector = |scope: &str, operator: &str, values: Value| {
        let expression = json!({"scopeName": scope, "operator": operator, "values": values});
        quota(json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [expression]}}))
    };
    assert_accepted(vec![
        quota(json!({"hard": {
            "cpu": "20", "requests.memory": "64Gi", "pods": "200", "hugepages-2Mi": "1Gi",
            "requests.nvidia.com/gpu": "4", "count/deployments.apps": "10",
            "gold.storageclass.storage.k8s.io/requests.storage": "500Gi",
        }})),
        quota(json!({"hard": {"pods": "5"}, "scopes": ["BestEffort", "Terminating"]})),
        selector("PriorityClass", "In", json!(["high"])),
        quota(json!({})),
    ]);
    // A number without quotes is what the API server takes it for.
    let bare = parse_policy(&policy_with(quota(
        json!({"hard": {"pods": 10, "cpu": 0.5}}),
    )));
    let hard = &bare.objects[0].content["spec"]["hard"];
    assert_eq!(hard, &json!({"pods": "10", "cpu": "0.5"}));

    let hard = |name: &str, value: Value| quota(json!({"hard": {name: value}}));
    let scoped = |scopes: Value, name: &str| quota(json!({"hard": {name: "1"}, "scopes": scopes}));
    let expression = "spec.scopeSelector.matchExpressions[0]";
    let expression = |key: &str| format!("{expression}.{key}");
    let (operator, values, name) = (
        expression("operator"),
        expression("values"),
        expression("scopeName"),
    );
    assert_objects_refused(vec![
        (
            of("v1", "ResourceQuota", Some("a"), json!({})),
            "spec",
            "is required",
        ),
        (quota(json!({"soft": {}})), "spec.soft", "unknown field"),
        (
            hard("cpus", json!("1")),
            "spec.hard.cpus",
            "no resource of a quota",
        ),
        (
            hard("storage", json!("1")),
            "spec.hard.storage",
            "no resource of a quota",
        ),
        (hard("a/b/c", json!("1")), "spec.hard[a/b/c]", "may hold"),
        (hard("cpu", json!("1x")), "spec.hard.cpu", "is no quantity"),
        (
            hard("cpu", json!("-1")),
            "spec.hard.cpu",
            "must not be negative",
        ),
        (
            hard("cpu", json!(true)),
            "spec.hard.cpu",
            "must be a quantity",
        ),
        (
            hard("memory", json!("8Ei")),
            "spec.hard.memory",
            "too large",
        ),
        (hard("cpu", json!("100u")), "spec.hard.cpu", "too fine"),
        (
            hard("pods", json!("1500m")),
            "spec.hard.pods",
            "whole number",
        ),
        (
            hard("count/jobs.batch", json!("0.5")),
            "spec.hard[count/jobs.batch]",
            "whole number",
        ),
        (
            scoped(json!(["Best"]), "pods"),
            "spec.scopes[0]",
            "unknown scope",
        ),
        (
            scoped(json!(["Terminating", "Terminating"]), "pods"),
            "spec.scopes[1]",
            "listed twice",
        ),
        (
            scoped(json!(["Terminating", "NotTerminating"]), "pods"),
            "spec.scopes[1]",
            "no pod is both",
        ),
        (
            scoped(json!(["BestEffort"]), "cpu"),
            "spec.scopes[0]",
            "can't count",
        ),
        (
            scoped(json!(["Terminating"]), "secrets"),
            "spec.scopes[0]",
            "can't count",
        ),
        (
            selector("PriorityClass", "In", json!([])),
            &values,
            "needs values",
        ),
        (
            selector("PriorityClass", "Exists", json!(["a"])),
            &values,
            "takes no values",
        ),
        (
            selector("PriorityClass", "Is", json!([])),
            &operator,
            "unknown operator",
        ),
        (
            selector("BestEffort", "DoesNotExist", json!([])),
            &operator,
            "must be Exists",
        ),
        (
            selector("Pods", "Exists", json!([])),
            &name,
            "unknown scope",
        ),
    ]);
}

#[test]
fn limit_ranges_are_of_one_piece() {
    let container = |maps: Value| {
        let mut limit = json!({"type": "Container"});
        limit
            .as_object_mut()
            .unwrap()
            .extend(maps.as_object().unwrap().clone());
        limits(json!([limit]))
    };
    assert_accepted(vec![
        container(json!({
            "default": {"cpu": "500m", "memory": "512Mi"},
            "defaultRequest": {"cpu": "100m", "memory": "0.5Gi"},
            "min": {"cpu": "50m"}, "max": {"cpu": "1", "example.com/gpu": "2"},
            "maxLimitRequestRatio": {"cpu": "20"},
        })),
        limits(json!([
            {"type": "Pod", "max": {"memory": "4Gi"}},
            {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}},
            {"type": "example.com/Widget", "max": {"storage": "1Gi"}},
        ])),
    ]);
    let at = "spec.limits[0]";
    let field = |rest: &str| format!("{at}{rest}");
    assert_objects_refused(vec![
        (limits(json!([])), "spec.limits", "at least one"),
        (limits(json!([{}])), &field(".type"), "is required"),
        (
            limits(json!([{"type": "container"}])),
            &field(".type"),
            "did you mean \"Container\"?",
        ),
        (
            limits(json!([{"type": "Pod"}, {"type": "Pod"}])),
            "spec.limits[1].type",
            "listed twice",
        ),
        (
            limits(json!([{"type": "Pod", "default": {"cpu": "1"}}])),
            &field(".default"),
            "a Pod has no defaults",
        ),
        (
            limits(json!([{"type": "PersistentVolumeClaim", "max": {"requests.storage": "1"}}])),
            at,
            "needs storage",
        ),
        (
            container(json!({"maximum": {}})),
            &field(".maximum"),
            "unknown field",
        ),
        (
            container(json!({"max": {"storage": "1"}})),
            &field(".max.storage"),
            "no resource of",
        ),
        (
            container(json!({"max": {"cpu": "lots"}})),
            &field(".max.cpu"),
            "is no quantity",
        ),
        (
            container(json!({"min": {"cpu": "2"}, "max": {"cpu": "1999m"}})),
            &field(".min.cpu"),
            "is above max",
        ),
        (
            container(json!({"defaultRequest": {"cpu": "2"}, "default": {"cpu": "1"}})),
            &field(".defaultRequest.cpu"),
            "is above default",
        ),
        (
            container(json!({"default": {"memory": "1025Mi"}, "max": {"memory": "1Gi"}})),
            &field(".default.memory"),
            "is above max",
        ),
        (
            container(json!({
                "default": {"hugepages-2Mi": "4Mi"}, "defaultRequest": {"hugepages-2Mi": "2Mi"},
            })),
            &field(".defaultRequest.hugepages-2Mi"),
            "can't be overcommitted",
        ),
        (
            container(json!({"maxLimitRequestRatio": {"cpu": "0.9"}})),
            &field(".maxLimitRequestRatio.cpu"),
            "at least 1",
        ),
        (
            container(json!({
                "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "2.1"},
            })),
            &field(".maxLimitRequestRatio.cpu"),
            "min and max allow",
        ),
    ]);
}

#[test]
fn network_policies_are_those_that_the_api_server_takes() {
    let port = |port: Value| network(json!({"ingress": [{"ports": [port]}]}));
    let peer = |peer: Value| network(json!({"egress": [{"to": [peer]}]}));
    let block =
        |cidr: &str, except: Value| peer(json!({"ipBlock": {"cidr": cidr, "except": except}}));
    assert_accepted(vec![
        network(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})),
        network(json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{}]})),
        port(json!({"protocol": "UDP", "port": "dns-tcp"})),
        port(json!({"port": 32000, "endPort": 32768})),
        peer(json!({"namespaceSelector": {}, "podSelector": {}})),
        block("10.0.0.0/8", json!(["10.1.0.0/16", "10.2.3.4/32"])),
        block("::/0", json!(["fd00::/8"])),
    ]);
    let (of_port, of_peer) = ("spec.ingress[0].ports[0]", "spec.egress[0].to[0]");
    let in_port = |key: &str| format!("{of_port}.{key}");
    let in_block = |key: &str| format!("{of_peer}.ipBlock.{key}");
    assert_objects_refused(vec![
        (
            network(json!({"policyTypes": ["ingress"]})),
            "spec.policyTypes[0]",
            "\"Ingress\"?",
        ),
        (
            network(json!({"policyTypes": ["Egress", "Egress"]})),
            "spec.policyTypes[1]",
            "listed twice",
        ),
        (
            network(json!({"egress": [{"from": []}]})),
            "spec.egress[0].from",
            "unknown field",
        ),
        (
            network(json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}})),
            "spec.podSelector.matchExpressions[0].values",
            "needs values",
        ),
        (
            port(json!({"protocol": "tcp"})),
            &in_port("protocol"),
            "did you mean \"TCP\"?",
        ),
        (
            port(json!({"port": 0})),
            &in_port("port"),
            "from 1 to 65535",
        ),
        (
            port(json!({"port": 65_536})),
            &in_port("port"),
            "from 1 to 65535",
        ),
        (
            port(json!({"port": "80"})),
            &in_port("port"),
            "with a letter",
        ),
        (
            port(json!({"port": "a-very-long-name"})),
            &in_port("port"),
            "at most 15",
        ),
        (
            port(json!({"endPort": 80})),
            &in_port("endPort"),
            "needs a port that is a number",
        ),
        (
            port(json!({"port": "dns", "endPort": 80})),
            &in_port("endPort"),
            "needs a port that is a number",
        ),
        (
            port(json!({"port": 81, "endPort": 80})),
            &in_port("endPort"),
            "is below port",
        ),
        (
            port(json!({"port": 81, "endPort": "82"})),
            &in_port("endPort"),
            "from 1 to 65535",
        ),
        (peer(json!({})), of_peer, "needs one of podSelector"),
        (
            peer(json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}})),
            "spec.egress[0].to[0].ipBlock",
            "must not stand beside",
        ),
        (
            block("10.0.0.0", json!([])),
            &in_block("cidr"),
            "no range of addresses",
        ),
        (
            block("10.0.0.0/33", json!([])),
            &in_block("cidr"),
            "no range of addresses",
        ),
        (
            block("010.0.0.0/8", json!([])),
            &in_block("cidr"),
            "no range of addresses",
        ),
        (
            block("10.0.0.0/08", json!([])),
            &in_block("cidr"),
            "no range of addresses",
        ),
        (
            block("::ffff:10.0.0.0/104", json!([])),
            &in_block("cidr"),
            "no range of addresses",
        ),
        (
            block("10.0.0.1/8", json!([])),
            &in_block("cidr"),
            "beyond its prefix",
        ),
        (
            block("10.0.0.0/8", json!(["11.0.0.0/16"])),
            &in_block("except[0]"),
            "must be a part of cidr",
        ),
        (
            block("10.0.0.0/8", json!(["10.0.0.0/8"])),
            &in_block("except[0]"),
            "must be a part of cidr",
        ),
        (
            block("0.0.0.0/0", json!(["fd00::/8"])),
            &in_block("except[0]"),
            "must be a part of cidr",
        ),
    ]);
}

#[test]
fn config_maps_hold_texts() {
    assert_accepted(vec![
        config(
            json!({"data": {"a.b_c-d": "text\n"}, "binaryData": {"e": "AAE="}, "immutable": true}),
        ),
        config(json!({})),
    ]);
    let elsewhere = |namespace: &str| of("v1", "ConfigMap", Some(namespace), json!({}));
    assert_objects_refused(vec![
        (
            config(json!({"data": {"a": 1}})),
            "data.a",
            "a number, quote it",
        ),
        (
            config(json!({"data": {"a/b": "c"}})),
            "data[a/b]",
            "may hold",
        ),
        (
            config(json!({"data": {"..a": "c"}})),
            "data[..a]",
            "does not begin with '..'",
        ),
        (
            config(json!({"binaryData": {"a": "?"}})),
            "binaryData.a",
            "must be base64",
        ),
        (
            config(json!({"data": {"a": ""}, "binaryData": {"a": ""}})),
            "binaryData.a",
            "is in data already",
        ),
        (config(json!({"spec": {}})), "spec", "unknown field"),
        (
            elsewhere("kube-system"),
            "metadata.namespace",
            "can grant access past RBAC",
        ),
        (
            elsewhere("writ-system"),
            "metadata.namespace",
            "no policy may touch it",
        ),
    ]);
}

#[test]
fn further_kinds_travel_as_they_were_written() {
    let widget = |body: Value| of("example.com/v1beta1", "Widget", Some("a"), body);
    assert_accepted(vec![
        widget(json!({"spec": {"size": 3, "ratio": 0.25, "on": [true, "x", {"deep": -1}]}})),
        of(
            "example.com/v1",
            "Gadget",
            None,
            json!({"anything": {"at": "the top"}}),
        ),
        of(
            "v1",
            "Service",
            Some("a"),
            json!({"spec": {"ports": [{"port": 80}]}}),
        ),
        of(
            "policy/v1",
            "PodDisruptionBudget",
            Some("a"),
            json!({"spec": {"minAvailable": "50%"}}),
        ),
    ]);
    let named = |name: &str, namespace: Option<&str>| {
        set(
            of("example.com/v1", "Widget", namespace, json!({})),
            "/metadata/name",
            json!(name),
        )
    };
    let huge = json!({"spec": {"n": [1, 9_007_199_254_740_993_i64]}});
    assert_objects_refused(vec![
        (widget(huge), "spec.n[1]", "can't be carried exactly"),
        (
            of("example.com", "Widget", None, json!({})),
            "apiVersion",
            "RFC 1123",
        ),
        (
            of("Example.com/v1", "Widget", None, json!({})),
            "apiVersion",
            "DNS subdomain",
        ),
        (
            of("example.com/v1", "widget", None, json!({})),
            "kind",
            "no name of a kind",
        ),
        (
            of("apps/v1", "Deployment", Some("a"), json!({})),
            "kind",
            "not workloads",
        ),
        (
            of(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                None,
                json!({}),
            ),
            "kind",
            "decides over the API server",
        ),
        (
            of("writ.dev/v1alpha1", "PolicyCeiling", None, json!({})),
            "kind",
            "Writ's own",
        ),
        (named("writ-x", None), "metadata.name", "Writ's own"),
        (
            named("writ-subscriber", Some("a")),
            "metadata.name",
            "the subscriber's own",
        ),
        (
            named("writ:x", Some("a")),
            "metadata.name",
            "made from grants",
        ),
        (
            named("x", Some("writ-system")),
            "metadata.namespace",
            "no policy may touch it",
        ),
    ]);
    // One object, written in two versions.
    let versions = ["example.com/v1", "example.com/v2"];
    let mut document = policy_with(Value::Null);
    document["spec"]["objects"] = versions
        .map(|version| of(version, "Widget", None, json!({})))
        .to_vec()
        .into();
    let message = "Widget x is already at spec.objects[0]";
    assert_refused(vec![(document, "spec.objects[1]", message)]);
    // Beside its own name, a kind may be called as one of Kubernetes is.
    let role = of("example.com/v1", "Role", Some("a"), json!({"spec": {}}));
    assert_accepted(vec![role, named("writ-x", Some("a"))]);
}
