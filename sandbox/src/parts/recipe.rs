//! What each part is: its file name, Go package, link-time stamps and the oldest version that
//! Writ works with. Pure data.

use std::fmt;

/// The Go module that pins all parts.
pub(super) const GO_MOD: &str = include_str!("../../parts/go.mod");
/// The checksums of that module's dependencies.
pub(super) const GO_SUM: &str = include_str!("../../parts/go.sum");
/// Names the parts for `go mod tidy`.
pub(super) const TOOLS_GO: &str = include_str!("../../parts/tools.go");

/// The release of Kubernetes in `go.mod`; its programs only know it when they are told.
const KUBERNETES: (u32, u32, u32) = (1, 36, 3);

/// A major and minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// The pinned Kubernetes.
    pub(super) const KUBERNETES: Self = Self(KUBERNETES.0, KUBERNETES.1);

    /// Whether the two differ by at most one minor version.
    pub(super) fn is_next_to(self, other: Self) -> bool {
        self.0 == other.0 && self.1.abs_diff(other.1) <= 1
    }

    /// The first `N.N` in a program's answer to `--version`.
    pub(super) fn find_in(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.')
            .find_map(|word| {
                let mut numbers = word.split('.').map(str::parse);
                match (numbers.next(), numbers.next()) {
                    (Some(Ok(major)), Some(Ok(minor))) => Some(Self(major, minor)),
                    _ => None,
                }
            })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A program that a fleet is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The bus.
    NatsServer,
    /// The store of the API servers.
    Etcd,
    /// A cluster's API.
    KubeApiserver,
    /// A cluster's controllers.
    KubeControllerManager,
    /// For the person at the terminal.
    Kubectl,
}

impl Part {
    /// All of them, the quickest to build first.
    pub const ALL: [Part; 5] = [
        Part::NatsServer,
        Part::Etcd,
        Part::Kubectl,
        Part::KubeApiserver,
        Part::KubeControllerManager,
    ];

    /// The executable's file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Part::NatsServer => "nats-server",
            Part::Etcd => "etcd",
            Part::KubeApiserver => "kube-apiserver",
            Part::KubeControllerManager => "kube-controller-manager",
            Part::Kubectl => "kubectl",
        }
    }

    /// The Go package of its `main`.
    pub(super) fn package(self) -> &'static str {
        match self {
            Part::NatsServer => "github.com/nats-io/nats-server/v2",
            Part::Etcd => "go.etcd.io/etcd/server/v3",
            Part::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Part::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Part::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
        }
    }

    /// The oldest version that is good enough. NATS: atomic batches came with 2.12.
    /// Kubernetes: the ceiling's admission policies are stable since 1.30.
    pub(super) fn oldest(self) -> Version {
        match self {
            Part::NatsServer => Version(2, 12),
            Part::Etcd => Version(3, 5),
            Part::KubeApiserver | Part::KubeControllerManager | Part::Kubectl => Version(1, 30),
        }
    }

    /// The arguments that make it print its version.
    pub(super) fn version_args(self) -> &'static [&'static str] {
        match self {
            Part::Kubectl => &["version", "--client"],
            _ => &["--version"],
        }
    }

    /// The linker's flags: no debug information, and the version for Kubernetes' programs,
    /// without which the server says v0.0.0 and clients refuse it.
    pub(super) fn linker_flags(self) -> String {
        let mut flags = "-s -w".to_owned();
        if matches!(self, Part::NatsServer | Part::Etcd) {
            return flags;
        }
        let (major, minor, patch) = KUBERNETES;
        for package in [
            "k8s.io/component-base/version",
            "k8s.io/client-go/pkg/version",
        ] {
            flags += &format!(
                " -X {package}.gitVersion=v{major}.{minor}.{patch} -X {package}.gitMajor={major} \
                 -X {package}.gitMinor={minor} -X {package}.gitTreeState=clean"
            );
        }
        flags
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_the_programs_say() {
        for (said, version) in [
            ("nats-server: v2.15.2\n", Version(2, 15)),
            (
                "etcd Version: 3.6.8\nGit SHA: 1a2b3c4\nGo Version: go1.26.8\n",
                Version(3, 6),
            ),
            ("Kubernetes v1.36.3\n", Version(1, 36)),
            (
                "Client Version: v1.36.3\nKustomize Version: v5.7.1\n",
                Version(1, 36),
            ),
            ("go version go1.26.8 linux/amd64\n", Version(1, 26)),
        ] {
            assert_eq!(Version::find_in(said), Some(version), "{said}");
        }
        assert_eq!(Version::find_in("no version here"), None);
    }

    #[test]
    fn the_stamped_version_is_the_pinned_one() {
        let (major, minor, patch) = KUBERNETES;
        assert!(GO_MOD.contains(&format!("k8s.io/kubernetes v{major}.{minor}.{patch}\n")));
        assert!(GO_MOD.contains(&format!("=> k8s.io/api v0.{minor}.{patch}\n")));
    }
}
