//! Folders for this test process, short enough for sockets, gone when it ends.
//!
//! They lie in one folder named after the process id. It is removed when the process exits; what
//! a killed process left is removed by the next one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "culvert-test-";

/// A folder of this process that holds nothing yet. Everybody may walk through it, because the
/// servers may run as another user.
pub fn folder(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let folder = base().join(format!("{name}{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    make_walkable(&folder);
    folder
}

/// Removes this process's folders, and those of killed ones; called when it exits.
pub(crate) fn remove_all() {
    if let Some(base) = BASE.get() {
        let _ = fs::remove_dir_all(base);
        base.parent().into_iter().for_each(remove_leftovers);
    }
}

static BASE: OnceLock<PathBuf> = OnceLock::new();

fn base() -> &'static Path {
    BASE.get_or_init(|| {
        let parent = std::env::temp_dir();
        remove_leftovers(&parent);
        let base = parent.join(format!("{PREFIX}{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        make_walkable(&base);
        base
    })
}

fn make_walkable(folder: &Path) {
    fs::create_dir(folder).unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
        .unwrap_or_else(|error| panic!("cannot open {} to servers: {error}", folder.display()));
}

fn remove_leftovers(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(owner) = owner.and_then(|owner| owner.parse::<u32>().ok())
            && !Path::new(&format!("/proc/{owner}")).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
