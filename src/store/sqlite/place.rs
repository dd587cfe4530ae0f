//! Whether a folder can hold the state file: file systems that other machines share do not keep what SQLite's log needs of them.

use std::path::Path;

use crate::store::error::StoreError;

/// Kinds of file systems that lie on other machines, as Linux calls them. On them locks and memory that is mapped from a file may be
/// one machine's own, or an fsync may end before anything is on a disk.
const NETWORK: [&str; 19] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "afs",
    "coda",
    "ceph",
    "glusterfs",
    "lustre",
    "davfs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "fuse.rclone",
    "fuse.davfs2",
];

/// Refuses a state file on a file system that other machines share. Where the system does not tell, nothing is refused.
pub(super) fn check(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(mounts), Ok(folder)) = (std::fs::read_to_string("/proc/self/mountinfo"), folder.canonicalize()) else {
        return Ok(());
    };
    match kind_of(&mounts, &folder) {
        Some(kind) if NETWORK.contains(&kind) => {
            let reason = format!(
                "its folder is on a file system of another machine (`{kind}`), where a state in a file is not safe\nhint: give it a folder on a disk of this machine with `--data` or `state: {{ url }}`, or keep the state in PostgreSQL"
            );
            Err(StoreError::CannotOpen { path: path.to_owned(), reason })
        }
        _ => Ok(()),
    }
}

/// The kind of the file system that a folder is on: that of the deepest mount above it, of several in one place the last.
fn kind_of<'m>(mounts: &'m str, folder: &Path) -> Option<&'m str> {
    let mount = |line: &'m str| {
        let (left, right) = line.split_once(" - ")?;
        // what stands there is written with octal numbers for blanks
        let place = left.split(' ').nth(4)?.replace("\\040", " ");
        let depth = Path::new(&place).components().count();
        folder.starts_with(&place).then_some((depth, right.split(' ').next()?))
    };
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
        30 22 0:24 / /srv rw - nfs4 files:/srv rw\n\
        31 30 0:25 / /srv/local\\040disk rw shared:7 - xfs /dev/vdb rw\n\
        32 22 0:26 / /home rw - ext4 /dev/vdc rw\n\
        33 22 0:27 / /home rw - fuse.sshfs me@there: rw\n";

    #[test]
    fn the_deepest_mount_tells_what_a_folder_is_on() {
        for (folder, kind) in [
            ("/data", "ext4"),
            ("/srv/hooktable", "nfs4"),
            ("/srv/local disk/hooktable", "xfs"),
            ("/srvother", "ext4"),
            ("/home/me", "fuse.sshfs"),
        ] {
            assert_eq!(kind_of(MOUNTS, Path::new(folder)), Some(kind), "{folder}");
        }
        assert_eq!(kind_of("", Path::new("/data")), None);
    }

    #[test]
    fn a_folder_of_this_machine_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        check(&folder.path().join("state.db")).expect("taken");
    }
}
