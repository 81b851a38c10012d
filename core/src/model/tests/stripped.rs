//! What `kubectl get -o yaml` prints goes into a policy unchanged: what servers own is dropped, each
//! field by name, and nothing else is.

use super::*;

/// Dumps of a live cluster, shortened in their managed fields alone.
const DUMPS: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"v1","kind":"Namespace","metadata":{"annotations":{},"name":"payments"}}
  creationTimestamp: "2026-05-04T08:11:29Z"
  labels:
    kubernetes.io/metadata.name: payments
    pod-security.kubernetes.io/enforce: restricted
  managedFields:
  - apiVersion: v1
    fieldsType: FieldsV1
    fieldsV1: {"f:metadata": {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}}}
    manager: kubectl-client-side-apply
    operation: Update
    time: "2026-05-04T08:11:29Z"
  name: payments
  resourceVersion: "1081"
  uid: 6f3f5a1f-6b43-4a4c-9a7c-0b7c1a8a2f7e
spec:
  finalizers:
  - kubernetes
status:
  phase: Active
---
apiVersion: v1
kind: ResourceQuota
metadata:
  creationTimestamp: "2026-05-04T08:11:29Z"
  name: team
  namespace: payments
  ownerReferences:
  - apiVersion: example.com/v1
    kind: Tenant
    name: payments
    uid: 0d5b1a9e-7c49-44b5-8e52-1f3f0c6f5f10
  resourceVersion: "1203"
  uid: 1c0d7c43-93ad-4a53-9d2a-6a8d6d7a3c11
spec:
  hard:
    pods: "200"
    requests.memory: 64Gi
status:
  hard:
    pods: "200"
    requests.memory: 64Gi
  used:
    pods: "17"
    requests.memory: 5Gi
---
apiVersion: v1
kind: LimitRange
metadata:
  creationTimestamp: null
  generation: 1
  name: defaults
  namespace: payments
  resourceVersion: "1204"
  uid: 6a0a6b52-1e6d-47cf-a3cb-5c8a3d7e8d13
spec:
  limits:
  - default:
      cpu: 500m
      memory: 512Mi
    defaultRequest:
      cpu: 100m
      memory: 128Mi
    type: Container
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  creationTimestamp: "2026-05-04T08:11:30Z"
  generation: 2
  name: same-team
  namespace: payments
  resourceVersion: "1302"
  uid: 5b1d7f0e-0e7c-4f0c-8a57-0d4a5d3c2b14
spec:
  ingress:
  - from:
    - namespaceSelector:
        matchLabels:
          team: payments
    ports:
    - port: 5432
      protocol: TCP
  podSelector: {}
  policyTypes:
  - Ingress
---
apiVersion: rbac.authorization.k8s.io/v1
aggregationRule:
  clusterRoleSelectors:
  - matchLabels:
      example.com/aggregate-to-operator: "true"
kind: ClusterRole
metadata:
  creationTimestamp: "2026-05-04T08:11:30Z"
  name: operator
  resourceVersion: "1400"
  uid: 44d0b2b7-7d4e-4f5b-93a1-2f1f3f2e1d15
rules:
- apiGroups: [""]
  resources: [pods]
  verbs: [get]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  creationTimestamp: "2026-05-04T08:11:31Z"
  generation: 1
  name: web
  namespace: payments
  resourceVersion: "1501"
  selfLink: /apis/policy/v1/namespaces/payments/poddisruptionbudgets/web
  uid: 9b7e2f68-4f4c-4f0c-9d0b-2f6f5e4d3c16
spec:
  minAvailable: 1
  selector:
    matchLabels:
      app: web
status:
  conditions: []
  currentHealthy: 3
  desiredHealthy: 1
"#;

#[test]
fn dumps_of_a_live_cluster_are_accepted_and_every_dropped_field_is_named() {
    let dumps: Vec<Value> = serde_saphyr::from_multiple(DUMPS).unwrap();
    let mut document = policy_with(Value::Null);
    document["spec"]["objects"] = dumps.clone().into();
    let parsed = parse(&document).unwrap_or_else(|violations| panic!("{violations:?}"));
    let notices: Vec<&str> = parsed.notices.iter().map(|of| of.field.as_str()).collect();
    let server = ["metadata.uid", "metadata.resourceVersion"];
    for (index, dump) in dumps.iter().enumerate() {
        let at = |field: &str| format!("spec.objects[{index}].{field}");
        for field in server.map(at) {
            assert!(notices.contains(&field.as_str()), "{field}: {notices:?}");
        }
        let has_status = notices.contains(&at("status").as_str());
        assert_eq!(has_status, dump.get("status").is_some(), "{index}");
    }
    for field in [
        "spec.objects[0].spec.finalizers",
        "spec.objects[0].metadata.managedFields",
        "spec.objects[0].metadata.labels[kubernetes.io/metadata.name]",
        "spec.objects[0].metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]",
        "spec.objects[1].metadata.ownerReferences",
        "spec.objects[3].metadata.generation",
        "spec.objects[4].rules",
        "spec.objects[5].metadata.selfLink",
    ] {
        assert!(notices.contains(&field), "{field}: {notices:?}");
    }

    let Document::Policy(policy) = parsed.document else {
        panic!("a policy was written");
    };
    for (object, dump) in policy.objects.iter().zip(&dumps) {
        let kind = object.content["kind"].as_str().unwrap();
        let spec = if kind == "Namespace" {
            &Value::Null
        } else {
            &dump["spec"]
        };
        assert_eq!(&object.content["spec"], spec, "{kind}");
        let metadata = object.content["metadata"].as_object().unwrap();
        let kept = ["labels", "name", "namespace"];
        assert!(
            metadata.keys().all(|key| kept.contains(&key.as_str())),
            "{metadata:?}"
        );
    }
}
