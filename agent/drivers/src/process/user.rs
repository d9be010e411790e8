//! Whom a process runs as: `user`, `uid`, `user:group`, `uid:gid`, read from the host's own files.

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// `None` for whoever runs the agent.
    pub(crate) ids: Option<(u32, u32)>,
    /// Where it is at home.
    pub(crate) home: String,
}

/// Finds out; an error names what is missing.
pub(crate) fn find(text: &str) -> Result<Who, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    find_in(text, &read("/etc/passwd"), &read("/etc/group"))
}

pub(crate) fn find_in(text: &str, passwd: &str, groups: &str) -> Result<Who, String> {
    if text.is_empty() {
        return Ok(Who { ids: None, home: "/".to_owned() });
    }
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let account = entry(passwd, user);
    let number = |fields: &[&str], at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    let uid = user.parse().ok().or_else(|| number(account.as_deref()?, 2));
    let uid = uid.ok_or_else(|| format!("{user}: no such user"))?;
    let gid = if group.is_empty() {
        // A number without an account has no group of its own but root's, as in a container.
        account.as_deref().and_then(|fields| number(fields, 3)).or(Some(0))
    } else {
        group.parse().ok().or_else(|| number(entry(groups, group).as_deref()?, 2))
    };
    let gid = gid.ok_or_else(|| format!("{group}: no such group"))?;
    let home = account.and_then(|fields| fields.get(5).map(|home| (*home).to_owned()));
    Ok(Who { ids: Some((uid, gid)), home: home.unwrap_or_else(|| "/".to_owned()) })
}

/// The fields of the line whose name or number this is.
fn entry<'a>(file: &'a str, key: &str) -> Option<Vec<&'a str>> {
    let mut lines = file.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.first() == Some(&key) || fields.get(2) == Some(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:/bin/false\n";
    const GROUPS: &str = "root:x:0:\nstaff:x:50:web\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let who = |uid, gid, home: &str| Ok(Who { ids: Some((uid, gid)), home: home.to_owned() });
        let find = |text| find_in(text, PASSWD, GROUPS);
        assert_eq!(find(""), Ok(Who { ids: None, home: "/".to_owned() }));
        assert_eq!(find("web"), who(33, 34, "/var/www"));
        assert_eq!(find("33"), who(33, 34, "/var/www"));
        assert_eq!(find("web:staff"), who(33, 50, "/var/www"));
        assert_eq!(find("7:8"), who(7, 8, "/"));
        assert_eq!(find("7"), who(7, 0, "/"));
        assert_eq!(find("nosuch"), Err("nosuch: no such user".to_owned()));
        assert_eq!(find("web:nosuch"), Err("nosuch: no such group".to_owned()));
    }
}
