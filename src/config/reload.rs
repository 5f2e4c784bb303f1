//! `Reload`: whether the settings file, or a file that it names, says something else than before.
//!
//! The contents are compared, not the times or the inodes of files: the kubelet swaps a symlink above them. What is
//! half written is never taken, since two looks in a row have to find the same. Leaves out when to look, and obeying.

use std::path::{Path, PathBuf};

use super::{ConfigError, Settings};

/// What a look at the file finds: settings, or what is wrong with it.
type Found = Result<Settings, String>;

/// Remembers what the settings file said.
#[derive(Debug)]
pub struct Reload {
    path: PathBuf,
    serving: Settings,
    told: Found,
    seen_once: Option<Found>,
}

impl Reload {
    /// Begins with the settings that are in force.
    #[must_use]
    pub fn new(path: PathBuf, serving: Settings) -> Self {
        Self {
            path,
            told: Ok(serving.clone()),
            serving,
            seen_once: None,
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file. Gives what it says once that has changed and this look and the one before found the same.
    /// The caller obeys settings, and keeps those in force where there is an error; neither is told again.
    pub fn look(&mut self) -> Option<Result<Settings, String>> {
        let found = self.load().map_err(|error| error.to_string());
        if found == self.told {
            self.seen_once = None;
            return None;
        }
        if self.seen_once.as_ref() != Some(&found) {
            self.seen_once = Some(found);
            return None;
        }
        self.seen_once = None;
        self.told = found.clone();
        if let Ok(settings) = &found {
            self.serving = settings.clone();
        }
        Some(found)
    }

    fn load(&self) -> Result<Settings, ConfigError> {
        let settings = Settings::load(&self.path)?;
        if settings.certificate == self.serving.certificate {
            return Ok(settings);
        }
        let mistake = "certificate: it cannot change while running; restart the pods, as `kubectl rollout restart` does";
        Err(ConfigError::Invalid {
            path: self.path.clone(),
            mistakes: vec![mistake.to_owned()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::EnforcementAction;

    const CERTIFICATE: &str = "certificate: {mode: self-managed, secretName: s, serviceName: v, webhookConfigurationName: w}\n";

    struct File {
        _folder: tempfile::TempDir,
        reload: Reload,
    }

    impl File {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("config.yaml");
            std::fs::write(&path, text).unwrap();
            let settings = Settings::load(&path).unwrap();
            Self {
                _folder: folder,
                reload: Reload::new(path, settings),
            }
        }

        fn write(&self, text: &str) {
            std::fs::write(self.reload.path(), text).unwrap();
        }

        /// What two looks come to, in a word: the action in force, or the complaint.
        fn look_twice(&mut self) -> String {
            assert!(self.reload.look().is_none(), "one look is not enough");
            match self.reload.look() {
                None => "nothing".to_owned(),
                Some(Ok(settings)) => format!("{:?}", settings.rules.policy.enforcement_action),
                Some(Err(message)) => message,
            }
        }
    }

    #[test]
    fn a_change_is_told_once() {
        let mut file = File::new("enforcementAction: deny");
        assert_eq!(file.look_twice(), "nothing");
        file.write("enforcementAction: warn");
        assert_eq!(file.look_twice(), format!("{:?}", EnforcementAction::Warn));
        assert_eq!(file.look_twice(), "nothing");
        file.write("# the same in other words\nenforcementAction: \"warn\"");
        assert_eq!(file.look_twice(), "nothing");
    }

    #[test]
    fn what_is_half_written_is_not_taken() {
        let mut file = File::new("enforcementAction: warn");
        file.write("");
        assert!(file.reload.look().is_none());
        file.write("enforcementAction: audit");
        assert_eq!(file.look_twice(), "Audit");
    }

    #[test]
    fn a_bad_file_is_told_once_with_all_its_mistakes_and_then_that_it_is_good_again() {
        let mut file = File::new("enforcementAction: warn");
        file.write("findings: {a: warn, b: deny}");
        let told = file.look_twice();
        for word in ["config.yaml", "2 mistake(s)", "findings.a", "findings.b"] {
            assert!(told.contains(word), "{word} is not in {told}");
        }
        assert_eq!(file.look_twice(), "nothing");
        file.write("enforcementAction: warn");
        assert_eq!(file.look_twice(), "Warn");
        std::fs::remove_file(file.reload.path()).unwrap();
        assert!(file.look_twice().contains("cannot read"));
    }

    #[test]
    fn the_names_of_the_certificate_cannot_change() {
        let mut file = File::new(CERTIFICATE);
        file.write(&CERTIFICATE.replace("secretName: s", "secretName: other"));
        let told = file.look_twice();
        assert!(
            told.contains("certificate: ") && told.contains("rollout restart"),
            "{told}"
        );
        file.write(&format!("{CERTIFICATE}enforcementAction: audit"));
        assert_eq!(file.look_twice(), "Audit");
    }

    #[test]
    fn the_files_that_it_names_are_looked_at_too() {
        let folder = tempfile::tempdir().unwrap();
        let data = |version: &str| folder.path().join(version);
        for (version, user) in [("1", "a"), ("2", "b")] {
            std::fs::create_dir_all(data(version).join("r.example")).unwrap();
            let login = format!(r#"{{"auths":{{"r.example":{{"username":"{user}"}}}}}}"#);
            std::fs::write(data(version).join("config.json"), login).unwrap();
            let hosts = format!("[host.'https://{user}.example']\n");
            std::fs::write(data(version).join("r.example/hosts.toml"), hosts).unwrap();
        }
        // As the kubelet does it: a link to the folder, replaced by another at once.
        let link = folder.path().join("..data");
        let swap = |version: &str| {
            let new = folder.path().join("..data_tmp");
            std::os::unix::fs::symlink(data(version), &new).unwrap();
            std::fs::rename(&new, &link).unwrap();
        };
        swap("1");
        let link = link.display();
        let mut file = File::new(&format!(
            "hostsDir: {link}\ndefaultCredentials: {link}/config.json\n"
        ));
        assert_eq!(file.look_twice(), "nothing");
        swap("2");
        assert!(file.reload.look().is_none());
        let found = file.reload.look().unwrap().unwrap();
        let mirror = &found.registries["r.example"].mirrors[0];
        assert_eq!(mirror.url.as_str(), "https://b.example/");
        assert_ne!(
            found.credentials.default,
            crate::registry::Keychain::anonymous()
        );
        std::fs::write(data("2").join("config.json"), "{").unwrap();
        assert!(file.reload.look().is_none());
        let found = file.reload.look().unwrap().unwrap();
        assert_eq!(found.left_out.len(), 1);
        assert_eq!(file.look_twice(), "nothing");
    }
}
