//! Which container a process is in, as the path of its cgroup names it.

use std::borrow::Cow;

/// The container, and the pod, that a cgroup's path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerRef<'a> {
    /// The container's id: 64 hexadecimal digits.
    pub id: Option<&'a str>,
    /// The pod's uid, as the kubelet wrote it. That of a static pod is not the one that the API knows.
    pub pod_uid: Option<Cow<'a, str>>,
}

impl<'a> ContainerRef<'a> {
    /// What `path` names. A path may begin with `..`, as `/proc/PID/cgroup` tells it to a reader in another container.
    ///
    /// Of several containers, one within the other, it is the outermost in the innermost pod: what runs in a container
    /// that a pod's container started is still that pod's.
    pub fn of_cgroup(path: &'a str) -> Self {
        let mut found = Self::default();
        // containerd's older shims write `SLICE:cri-containerd:ID`.
        for piece in path.split(['/', ':']) {
            if let Some(uid) = pod_uid(piece) {
                found = Self { id: None, pod_uid: Some(uid) };
            } else if found.id.is_none() {
                found.id = container_id(piece);
            }
        }
        found
    }

    /// Whether it names a container at all.
    pub const fn is_some(&self) -> bool {
        self.id.is_some() || self.pod_uid.is_some()
    }
}

/// `pod<uid>` of the driver cgroupfs, or `kubepods-burstable-pod<uid>.slice` of the driver systemd, which has underscores
/// for the uid's hyphens.
fn pod_uid(piece: &str) -> Option<Cow<'_, str>> {
    let name = piece.strip_suffix(".slice").unwrap_or(piece);
    let uid = match name.rsplit_once("pod")? {
        ("", uid) => uid,
        (before, uid) if before.ends_with('-') => uid,
        _ => return None,
    };
    let is_uid = match uid.len() {
        // Static pods have the hash of their manifest.
        32 => is_hex(uid),
        36 => uid.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => matches!(byte, b'-' | b'_'),
            _ => byte.is_ascii_hexdigit(),
        }),
        _ => false,
    };
    is_uid.then(|| if uid.contains('_') { uid.replace('_', "-").into() } else { uid.into() })
}

/// The id alone, or behind the name of what runs the container: `docker-<id>.scope`, `cri-containerd-<id>.scope`,
/// `crio-<id>`, `libpod-<id>.scope`. What watches the container (`crio-conmon-<id>`) is not in it.
fn container_id(piece: &str) -> Option<&str> {
    let name = piece.strip_suffix(".scope").unwrap_or(piece);
    let (runtime, id) = name.rsplit_once('-').unwrap_or(("", name));
    (id.len() == 64 && is_hex(id) && !runtime.ends_with("conmon")).then_some(id)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8afe480d66074930353da456a1344caca810fe31c1e31f3e08d95a66887235c6";
    const INNER: &str = "40c03570b6f4c30bc8d69923d37ee698f5cfcced92c7b7df1c47f6f7887378a9";
    const UID: &str = "2b90d95c-1d3e-4d9b-8d5c-3a1c1f2e7a10";
    const STATIC: &str = "4b902ee7ba1c2d3e4f5061728394a5b6";

    /// `ID`, `UID` and its form with underscores stand for the two; `INNER` for another container's id.
    #[track_caller]
    fn check(path: &str, id: bool, uid: Option<&str>) {
        let path = path.replace("U_ID", &UID.replace('-', "_")).replace("UID", UID);
        let path = path.replace("INNER", INNER).replace("ID", ID).replace("STATIC", STATIC);
        let found = ContainerRef::of_cgroup(&path);
        assert_eq!((found.id, found.pod_uid.as_deref()), (id.then_some(ID), uid), "{path}");
        assert_eq!(found.is_some(), id || uid.is_some());
    }

    #[test]
    fn containers_of_no_pod() {
        check("/docker/ID", true, None);
        check("/system.slice/docker-ID.scope", true, None);
        check("/machine.slice/libpod-ID.scope/container", true, None);
        check("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", true, None);
        // systemd in a container.
        check("/docker/ID/init.scope", true, None);
        // What another container of the same pod is told.
        check("/../cri-containerd-ID.scope", true, None);
    }

    #[test]
    fn containers_of_pods() {
        let pod = |path| check(path, true, Some(UID));
        // The kubelet with the driver cgroupfs.
        pod("/kubepods/podUID/ID");
        pod("/kubepods/burstable/podUID/ID");
        pod("/kubepods/besteffort/podUID/crio-ID");
        // The same with systemd.
        pod("/kubepods.slice/kubepods-podU_ID.slice/cri-containerd-ID.scope");
        pod("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_ID.slice/cri-containerd-ID.scope");
        pod("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_ID.slice/crio-ID.scope");
        pod("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_ID.slice/crio-ID.scope/container");
        pod("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_ID.slice/docker-ID.scope");
        // containerd's older shims.
        pod("/system.slice/containerd.service/kubepods-burstable-podU_ID.slice:cri-containerd:ID");
        // kind, whose nodes are containers.
        pod("/docker/INNER/kubelet/kubepods/burstable/podUID/ID");
        pod(
            "/system.slice/docker-INNER.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_ID.slice/cri-containerd-ID.scope",
        );
        // Docker in a pod.
        pod("/kubepods/podUID/ID/docker/INNER");
        // What a container of another pod is told.
        pod("/../../../kubepods-besteffort.slice/kubepods-besteffort-podU_ID.slice/cri-containerd-ID.scope");
        check("/kubepods/burstable/podSTATIC/ID", true, Some(STATIC));
    }

    #[test]
    fn what_is_in_no_container() {
        for path in
            ["", "/", "/system.slice/nginx.service", "/tripodUID", "/kubepods/podinfo/x", "/docker/8afe480d6607"]
        {
            check(path, false, None);
        }
        // What watches a container, and not what runs in it.
        check("/machine.slice/libpod-conmon-ID.scope", false, None);
        check("/kubepods.slice/kubepods-podU_ID.slice/crio-conmon-ID.scope", false, Some(UID));
    }
}
