//! What older versions of the API mean by their requests and expect of their answers (Docker's version history).

use engine_api::{
    ContainerConfig, ContainerInspect, ContainerUpdate, CreateRequest, Error, ImageInspect,
    ImageSummary, Mount, Result, SystemInfo,
};

use super::version::ApiVersion;

/// First version without `VirtualSize`.
const NO_VIRTUAL_SIZE: ApiVersion = ApiVersion(1, 44);

/// Brings a create request to the meaning of today; returns warnings.
///
/// # Errors
/// 400 for options that the version does not have and that must not be ignored.
pub(super) fn create(version: ApiVersion, request: &mut CreateRequest) -> Result<Vec<String>> {
    let host = &mut request.host_config;
    if version < ApiVersion(1, 25) {
        // The client removes the container itself.
        host.auto_remove = false;
    }
    if version < ApiVersion(1, 40) && host.ipc_mode.is_empty() {
        host.ipc_mode = "shareable".to_owned();
    }
    if version < ApiVersion(1, 42) {
        host.console_size = [0, 0];
    }
    if version < ApiVersion(1, 43) {
        host.annotations.clear();
    }
    for mount in &mut host.mounts {
        check_mount(version, mount)?;
    }
    if version < ApiVersion(1, 44) {
        request.read_only_non_recursive = true;
        if let Some(health) = &mut request.config.healthcheck {
            health.start_interval = 0;
        }
        let endpoints = &request.networking_config.endpoints_config;
        if endpoints.len() > 1 {
            let names: Vec<&str> = endpoints.keys().map(String::as_str).collect();
            return Err(Error::bad_parameter(format!(
                "Container cannot be created with multiple network endpoints: {}",
                names.join(", ")
            )));
        }
    }
    mac_address(version, request)
}

fn check_mount(version: ApiVersion, mount: &mut Mount) -> Result<()> {
    let kind = mount.typ.clone();
    if version < ApiVersion(1, 42) {
        if kind != "volume" {
            mount.volume_options = None;
        }
        if kind != "tmpfs" {
            mount.tmpfs_options = None;
        }
        if let Some(bind) = &mut mount.bind_options {
            bind.create_mountpoint = false;
            bind.non_recursive &= version >= ApiVersion(1, 40);
        }
    } else {
        for (name, is_set, own) in [
            ("VolumeOptions", mount.volume_options.is_some(), "volume"),
            ("BindOptions", mount.bind_options.is_some(), "bind"),
            ("TmpfsOptions", mount.tmpfs_options.is_some(), "tmpfs"),
        ] {
            if is_set && kind != own {
                return Err(Error::bad_parameter(format!(
                    "{name} must not be specified on mount type {kind:?}"
                )));
            }
        }
    }
    let bind = mount.bind_options.as_ref();
    if version < ApiVersion(1, 44) && bind.is_some_and(|bind| bind.read_only_force_recursive) {
        return Err(Error::bad_parameter(
            "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer",
        ));
    }
    let volume = mount.volume_options.as_ref();
    if version < ApiVersion(1, 45) && volume.is_some_and(|volume| !volume.subpath.is_empty()) {
        return Err(Error::bad_parameter(
            "VolumeOptions.Subpath needs API v1.45 or newer",
        ));
    }
    Ok(())
}

/// The container's own MAC address gave way to those of its endpoints.
fn mac_address(version: ApiVersion, request: &mut CreateRequest) -> Result<Vec<String>> {
    let own = request.config.mac_address.clone();
    let endpoints = &mut request.networking_config.endpoints_config;
    if version < ApiVersion(1, 44) {
        for endpoint in endpoints.values_mut() {
            endpoint.mac_address.clone_from(&own);
        }
        return Ok(Vec::new());
    }
    if own.is_empty() {
        return Ok(Vec::new());
    }
    let mode = match request.host_config.network_mode.as_str() {
        "" | "default" => "bridge",
        mode => mode,
    };
    let has_network = !matches!(mode, "host" | "none") && !mode.starts_with("container:");
    if has_network && !endpoints.is_empty() {
        let endpoint = endpoints.get_mut(mode).ok_or_else(|| {
            Error::bad_parameter(
                "if a container-wide MAC address is supplied, HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks",
            )
        })?;
        if endpoint.mac_address.is_empty() {
            endpoint.mac_address = own;
        } else if endpoint.mac_address != own {
            return Err(Error::bad_parameter(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
            ));
        }
    }
    Ok(vec![
        "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
            .to_owned(),
    ])
}

/// Leaves out of an update what the version does not have.
pub(super) fn update(version: ApiVersion, update: &mut ContainerUpdate) {
    if version < ApiVersion(1, 40) {
        update.pids_limit = None;
    }
    if version >= ApiVersion(1, 42) {
        update.kernel_memory = 0;
    }
}

/// Before 1.45 the aliases named the container itself too.
pub(super) fn container_inspect(version: ApiVersion, inspect: &mut ContainerInspect) {
    if version >= ApiVersion(1, 45) {
        return;
    }
    let short: String = inspect.id.chars().take(12).collect();
    for (network, endpoint) in &mut inspect.network_settings.networks {
        if matches!(network.as_str(), "bridge" | "host" | "none" | "default") {
            continue;
        }
        let aliases = endpoint.aliases.get_or_insert_default();
        for name in [&short, &inspect.config.hostname] {
            if !aliases.contains(name) {
                aliases.push(name.clone());
            }
        }
    }
}

/// `VirtualSize` until 1.43, what the image was committed from until 1.44.
pub(super) fn image_inspect(version: ApiVersion, image: &mut ImageInspect) {
    if version < NO_VIRTUAL_SIZE {
        image.virtual_size = image.size;
        if image.created.is_empty() {
            image.created = "0001-01-01T00:00:00Z".to_owned();
        }
    }
    if version >= ApiVersion(1, 45) {
        image.container.clear();
    } else {
        image.container_config = Some(ContainerConfig::default());
    }
}

/// `VirtualSize` until 1.43, names for what has none until 1.42.
pub(super) fn image_list(version: ApiVersion, images: &mut [ImageSummary]) {
    for image in images {
        if version < NO_VIRTUAL_SIZE {
            image.virtual_size = image.size;
        }
        if version < ApiVersion(1, 43)
            && image.repo_tags.is_empty()
            && image.repo_digests.is_empty()
        {
            image.repo_tags.push("<none>:<none>".to_owned());
            image.repo_digests.push("<none>@<none>".to_owned());
        }
    }
}

/// 1.24 had an execution driver and plain names of security options.
pub(super) fn info(version: ApiVersion, info: &mut SystemInfo) {
    if version >= ApiVersion(1, 25) {
        return;
    }
    info.execution_driver = "<not supported>".to_owned();
    for option in &mut info.security_options {
        let name = option
            .split(',')
            .find_map(|part| part.strip_prefix("name="));
        if let Some(name) = name.map(str::to_owned) {
            *option = name;
        }
    }
}

#[cfg(test)]
mod tests {
    use engine_api::{BindOptions, EndpointSettings, HostConfig, VolumeOptions};

    use super::*;

    fn request() -> CreateRequest {
        let endpoint = || EndpointSettings {
            mac_address: "02:42:00:00:00:01".into(),
            ..EndpointSettings::default()
        };
        let mut request = CreateRequest {
            host_config: HostConfig {
                auto_remove: true,
                network_mode: "a".into(),
                mounts: vec![Mount {
                    typ: "bind".into(),
                    bind_options: Some(BindOptions {
                        non_recursive: true,
                        create_mountpoint: true,
                        ..BindOptions::default()
                    }),
                    ..Mount::default()
                }],
                ..HostConfig::default()
            },
            ..CreateRequest::default()
        };
        request.networking_config.endpoints_config =
            [("a".to_owned(), endpoint()), ("b".to_owned(), endpoint())].into();
        request
    }

    #[test]
    fn what_a_version_did_not_have_is_left_out() {
        let mut old = request();
        old.networking_config.endpoints_config.remove("b");
        create(ApiVersion(1, 24), &mut old).unwrap();
        assert!(!old.host_config.auto_remove && old.read_only_non_recursive);
        assert_eq!(old.host_config.ipc_mode, "shareable");
        let bind = old.host_config.mounts[0].bind_options.clone().unwrap();
        assert!(!bind.non_recursive && !bind.create_mountpoint);
        assert_eq!(old.networking_config.endpoints_config["a"].mac_address, "");

        let mut new = request();
        assert_eq!(create(ApiVersion(1, 45), &mut new).unwrap().len(), 0);
        assert_eq!(new, request());
    }

    #[test]
    fn what_must_not_be_ignored_is_refused() {
        let text = |version, change: fn(&mut CreateRequest)| {
            let mut request = request();
            change(&mut request);
            create(version, &mut request).unwrap_err().message
        };
        assert_eq!(
            text(ApiVersion(1, 43), |_| ()),
            "Container cannot be created with multiple network endpoints: a, b"
        );
        assert_eq!(
            text(ApiVersion(1, 45), |request| {
                request.host_config.mounts[0].volume_options = Some(VolumeOptions::default());
            }),
            "VolumeOptions must not be specified on mount type \"bind\""
        );
        assert!(
            text(ApiVersion(1, 45), |request| {
                request.config.mac_address = "02:42:00:00:00:02".into();
            })
            .contains("must match the endpoint-specific")
        );
    }

    #[test]
    fn aliases_named_the_container_until_1_44() {
        let mut inspect = ContainerInspect {
            id: "0123456789abcdef".into(),
            ..ContainerInspect::default()
        };
        inspect.config.hostname = "web".into();
        let networks = &mut inspect.network_settings.networks;
        networks.insert("bridge".into(), EndpointSettings::default());
        networks.insert("own".into(), EndpointSettings::default());
        container_inspect(ApiVersion(1, 44), &mut inspect);
        let networks = &inspect.network_settings.networks;
        assert_eq!(networks["bridge"].aliases, None);
        assert_eq!(
            networks["own"].aliases.as_deref(),
            Some(["0123456789ab".to_owned(), "web".to_owned()].as_slice())
        );
    }

    #[test]
    fn images_without_a_name_had_one_until_1_42() {
        let mut images = [ImageSummary {
            size: 7,
            ..ImageSummary::default()
        }];
        image_list(ApiVersion(1, 42), &mut images);
        assert_eq!(images[0].repo_tags, ["<none>:<none>"]);
        assert_eq!(images[0].virtual_size, 7);
    }
}
