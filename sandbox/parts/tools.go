//go:build tools

// Package parts names the programs of a sandbox fleet, so that their modules stay
// in go.mod and go.sum. Nothing here is compiled: the sandbox builds each program
// by its import path.
package parts

import (
	_ "github.com/nats-io/nats-server/v2"
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
