//! What people and scripts use a fleet with: one kubeconfig with an administrator's context
//! per cluster, and a file to source that sets the variables.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Error, Fleet};
use crate::cluster::access;
use crate::files;
use crate::parts::Part;

impl Fleet {
    /// Writes `kubeconfig` and `env` for the clusters that there are.
    pub(super) fn write_access(&self) -> Result<(), Error> {
        let entries: Vec<_> = self.clusters().map(|cluster| cluster.entry()).collect();
        let current = self.clusters().next().map_or("", |cluster| cluster.name());
        let text = access::render(&entries, current)
            .map_err(|source| Error::Kubeconfig(Box::new(source)))?;
        files::write(&self.kubeconfig_file(), text)?;
        self.write_fleet_file()?;
        self.link_programs()?;
        files::write(&self.env_file(), self.env())?;
        Ok(())
    }

    /// Writes what an administrator needs of the API; clusters join by it.
    pub(super) fn write_fleet_file(&self) -> Result<(), Error> {
        let address = self.address().trim_start_matches("https://");
        let fleet = self.api.administrator(address);
        Ok(files::write(&self.fleet_file(), fleet.to_text())?)
    }

    fn env(&self) -> String {
        let quote = |path: &Path| format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"));
        format!(
            "# Source this file: it points kubectl and writ at the sandbox.\n\
             export KUBECONFIG={}\n\
             export WRIT_FLEET={}\n\
             export PATH={}:\"$PATH\"\n",
            quote(&self.kubeconfig_file()),
            quote(&self.fleet_file()),
            quote(&self.programs_folder()),
        )
    }

    /// A folder with this fleet's programs alone: where they lie there may be others, which
    /// nobody asked for.
    fn programs_folder(&self) -> PathBuf {
        self.dir().join("bin")
    }

    fn link_programs(&self) -> Result<(), files::Error> {
        let folder = self.programs_folder();
        files::make_folder(&folder)?;
        let kubectl = Some((Part::Kubectl.file_name(), self.part(Part::Kubectl)));
        let writ = self.launcher.writ_executable().map(|path| ("writ", path));
        for (name, program) in kubectl.into_iter().chain(writ) {
            let link = folder.join(name);
            files::remove(&link)?;
            symlink(program, &link).map_err(|error| files::Error::new("make", &link, error))?;
        }
        Ok(())
    }
}
