//! What an image brings for a container to run from: the loader or interpreter of its program, and its users.
//!
//! Invariant: an image that lacks what its program needs is found out before anything starts.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use object::elf::{FileHeader32, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{FileHeader, ProgramHeader as _};

/// As many links as Linux follows, and as many interpreters of interpreters (`BINPRM_BUF_SIZE`, `execve(2)`).
const INTERPRETERS_MAX: usize = 4;
/// How much of a program is looked at: its headers are at its start.
const HEAD_BYTES: u64 = 64 * 1024;
/// `passwd` and `group` of an image are read up to here.
const DATABASE_BYTES_MAX: u64 = 1024 * 1024;

/// A file that a program needs and its image does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{program} needs {needs}, which the image does not have")]
pub struct Lacking {
    /// The program, as the image sees it.
    pub program: String,
    /// Its loader or interpreter.
    pub needs: String,
}

/// Checks that the image has the loader of `program`, or the interpreter of a script, and so on for that.
///
/// `resolve` finds where a path of the image is on this machine.
pub fn check_program(
    program: &Path,
    on_this_machine: PathBuf,
    resolve: impl Fn(&Path) -> io::Result<PathBuf>,
) -> Result<(), Lacking> {
    let (mut name, mut file) = (program.to_owned(), on_this_machine);
    for _ in 0..INTERPRETERS_MAX {
        let Some(needs) = head(&file).ok().and_then(|head| interpreter(&head)) else { return Ok(()) };
        let lacking = || Lacking { program: name.display().to_string(), needs: needs.clone() };
        file = resolve(Path::new(&needs)).ok().filter(|path| path.is_file()).ok_or_else(lacking)?;
        name = PathBuf::from(needs);
    }
    Ok(())
}

fn head(file: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(file)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

/// What the kernel runs in place of a program or beside it: the word after `#!`, or `PT_INTERP` (`elf(5)`).
fn interpreter(head: &[u8]) -> Option<String> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        return String::from_utf8_lossy(line).split_ascii_whitespace().next().map(str::to_owned);
    }
    let name = match head.get(4)? {
        1 => loader::<FileHeader32<Endianness>>(head),
        2 => loader::<FileHeader64<Endianness>>(head),
        _ => None,
    }?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn loader<E: FileHeader<Endian = Endianness>>(head: &[u8]) -> Option<&[u8]> {
    let header = E::parse(head).ok()?;
    let endian = header.endian().ok()?;
    let headers = header.program_headers(endian, head).ok()?;
    headers.iter().find_map(|header| header.interpreter(endian, head).ok().flatten())
}

/// A user of an image, as its configuration names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// Its number.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
    /// Its home, `/` where the image does not know.
    pub home: String,
}

/// Who `user` is: `USER`, `USER:GROUP`, each a name of the image's `passwd` and `group` or a number (OCI image
/// specification, config.md, `User`). Nothing given is user 0.
pub fn user(user: &str, passwd: &str, group: &str) -> Result<ImageUser, String> {
    let (name, group_name) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
    let known = if name.is_empty() { by_name("0", passwd) } else { by_name(name, passwd) };
    let unknown = |uid| Login { name: "", uid, gid: 0, home: "/" };
    let login = match (known, name) {
        (Some(found), _) => found,
        (None, "") => unknown(0),
        (None, name) => unknown(name.parse().map_err(|_| format!("the image has no user named {name:?}"))?),
    };
    let gid = match group_name {
        None | Some("") => login.gid,
        Some(name) => group_number(name, group).ok_or_else(|| format!("the image has no group named {name:?}"))?,
    };
    // With a group given, it is the only one.
    let groups = if group_name.is_some() { Vec::new() } else { groups_of(login.name, group, gid) };
    Ok(ImageUser { uid: login.uid, gid, groups, home: login.home.to_owned() })
}

struct Login<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// `name:password:uid:gid:comment:home:shell` (`passwd(5)`), by name or number.
fn by_name<'a>(name: &str, passwd: &'a str) -> Option<Login<'a>> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (login, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (login == name || uid == name).then_some(())?;
        let home = fields.nth(1).filter(|home| home.starts_with('/')).unwrap_or("/");
        Some(Login { name: login, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    })
}

/// `name:password:gid:members` (`group(5)`).
fn group_number(name: &str, group: &str) -> Option<u32> {
    let number = |line: &str| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    };
    group.lines().find_map(number).or_else(|| name.parse().ok())
}

fn groups_of(login: &str, group: &str, but: u32) -> Vec<u32> {
    let member = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let (gid, members) = (fields.next()?.parse::<u32>().ok()?, fields.next()?);
        (gid != but && members.split(',').any(|member| member == login)).then_some(gid)
    };
    if login.is_empty() { Vec::new() } else { group.lines().filter_map(member).collect() }
}

/// A database of the image; nothing where it has none.
pub fn database(path: io::Result<PathBuf>) -> String {
    let mut text = Vec::new();
    let read = path.and_then(File::open).and_then(|file| file.take(DATABASE_BYTES_MAX).read_to_end(&mut text));
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:100::/srv:/bin/false\nbroken:x\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:app,other\nmail:x:8:other\nusers:x:100:app\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let of = |uid, gid, groups: &[u32]| {
            let home = if uid == 1000 { "/srv" } else { "/root" };
            let home = if uid == 65532 { "/" } else { home };
            Ok(ImageUser { uid, gid, groups: groups.to_vec(), home: home.to_owned() })
        };
        for (given, expected) in [
            ("", of(0, 0, &[])),
            ("0", of(0, 0, &[])),
            ("app", of(1000, 100, &[33])),
            ("1000", of(1000, 100, &[33])),
            ("65532", of(65532, 0, &[])),
            ("65532:65532", of(65532, 65532, &[])),
            ("app:mail", of(1000, 8, &[])),
            ("nobody", Err("the image has no user named \"nobody\"".to_owned())),
            ("app:none", Err("the image has no group named \"none\"".to_owned())),
            ("-1", Err("the image has no user named \"-1\"".to_owned())),
        ] {
            assert_eq!(user(given, PASSWD, GROUP), expected, "{given}");
        }
        assert_eq!(user("", "", "").unwrap().home, "/");
    }

    #[test]
    fn what_a_program_needs_is_looked_for_in_its_image() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let resolve = |path: &Path| Ok(root.join(path.strip_prefix("/").unwrap_or(path)));
        let check = |name: &str| check_program(Path::new(name), root.join(&name[1..]), resolve);
        std::fs::write(root.join("script"), "#!/bin/sh -e\n").unwrap();
        assert_eq!(check("/script").unwrap_err().to_string(), "/script needs /bin/sh, which the image does not have");
        std::fs::create_dir(root.join("bin")).unwrap();
        std::fs::write(root.join("bin/sh"), "#!/bin/loop\n").unwrap();
        assert_eq!(check("/script").unwrap_err().program, "/bin/sh");
        std::fs::write(root.join("bin/loop"), "#!/bin/loop\n").unwrap();
        check("/script").unwrap();
        // This test is a program with a loader, unless it was linked otherwise.
        std::fs::copy(std::env::current_exe().unwrap(), root.join("test")).unwrap();
        if cfg!(target_env = "gnu") {
            assert!(check("/test").unwrap_err().needs.contains("ld-"), "{:?}", check("/test"));
        }
        for content in [&b""[..], b"#!", b"\x7fELF", b"\x7fELF\x02\x01\x01", b"hello"] {
            std::fs::write(root.join("odd"), content).unwrap();
            check("/odd").unwrap();
        }
    }
}
