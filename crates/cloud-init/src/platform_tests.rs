//! The firmware's words of real machines.

use super::*;

fn dmi(fields: &[(Field, &str)]) -> Dmi {
    let mut dmi = Dmi::default();
    for (field, text) in fields {
        dmi.set(*field, text);
    }
    dmi
}

/// Fields, and the platform that they tell.
type Row = (&'static [(Field, &'static str)], Option<&'static str>);

#[rustfmt::skip] // one line a machine
const MACHINES: &[Row] = &[
    (&[(Field::SysVendor, "Amazon EC2"), (Field::ProductName, "t3.micro")], Some("ec2")),
    (&[(Field::SysVendor, "Xen"), (Field::ProductName, "HVM domU"), (Field::ProductUuid, "ec2a1b2c-0000-1111-2222-333344445555")], Some("ec2")),
    (&[(Field::SysVendor, "Xen"), (Field::ProductUuid, "EC2A1B2C-0000-1111-2222-333344445555")], Some("ec2")),
    (&[(Field::SysVendor, "Xen"), (Field::ProductUuid, "45e12aec-0000-1111-2222-333344445555")], Some("ec2")),
    (&[(Field::SysVendor, "Xen"), (Field::ProductUuid, "45e13aec-0000-1111-2222-333344445555")], None),
    // One UUID in 4096 looks like EC2's.
    (&[(Field::SysVendor, "QEMU"), (Field::ProductUuid, "ec2a1b2c-0000-1111-2222-333344445555")], None),
    (&[(Field::ProductSerial, "srv-1a2b3.gb1.brightbox.com")], Some("ec2")),
    (&[(Field::ChassisAssetTag, "123456.zstack.io")], Some("ec2")),
    (&[(Field::SysVendor, "3DS Outscale"), (Field::ProductName, "3DS Outscale VM")], Some("ec2")),
    (&[(Field::SysVendor, "Google"), (Field::ProductName, "Google Compute Engine")], Some("gce")),
    (&[(Field::ProductName, "Google"), (Field::ProductSerial, "GoogleCloud-0123456789ABCDEF")], Some("gce")),
    (&[(Field::SysVendor, "Microsoft Corporation"), (Field::ProductName, "Virtual Machine"), (Field::ChassisAssetTag, "7783-7084-3265-9085-8269-3286-77")], Some("azure")),
    // Hyper-V at home is not Azure.
    (&[(Field::SysVendor, "Microsoft Corporation"), (Field::ProductName, "Virtual Machine"), (Field::ChassisAssetTag, "1234-5678")], None),
    (&[(Field::SysVendor, "OpenStack Foundation"), (Field::ProductName, "OpenStack Nova")], Some("openstack")),
    (&[(Field::SysVendor, "RDO"), (Field::ProductName, "OpenStack Compute")], Some("openstack")),
    (&[(Field::ProductName, "KVM"), (Field::ChassisAssetTag, "OpenTelekomCloud")], Some("openstack")),
    (&[(Field::ChassisAssetTag, "HUAWEICLOUD")], Some("openstack")),
    (&[(Field::SysVendor, "DigitalOcean"), (Field::ProductName, "Droplet"), (Field::ProductSerial, "2756294")], Some("digitalocean")),
    (&[(Field::SysVendor, "Hetzner"), (Field::ProductName, "vServer"), (Field::ProductSerial, "12345678")], Some("hetzner")),
    (&[(Field::SysVendor, "Vultr"), (Field::ProductName, "VHF"), (Field::ProductSerial, "57976346")], Some("vultr")),
    (&[(Field::SysVendor, "Scaleway"), (Field::ProductName, "SCW-DEV1-S")], Some("scaleway")),
    (&[(Field::SysVendor, "QEMU"), (Field::ChassisAssetTag, "OracleCloud.com")], Some("oracle")),
    (&[(Field::SysVendor, "Linode"), (Field::ProductName, "Compute Instance")], Some("akamai")),
    (&[(Field::SysVendor, "Akamai")], Some("akamai")),
    (&[(Field::SysVendor, "UpCloud"), (Field::ProductName, "Cloud Server")], Some("upcloud")),
    (&[(Field::SysVendor, "Apache Software Foundation"), (Field::ProductName, "CloudStack KVM Hypervisor")], Some("cloudstack")),
    (&[(Field::SysVendor, "Exoscale"), (Field::ProductName, "Exoscale Compute Platform")], Some("exoscale")),
    (&[(Field::SysVendor, "Alibaba Cloud"), (Field::ProductName, "Alibaba Cloud ECS")], Some("aliyun")),
    (&[(Field::SysVendor, "VMware, Inc."), (Field::ProductName, "VMware Virtual Platform")], Some("vmware")),
    // A machine of one's own, and hypervisors that are not a platform.
    (&[(Field::SysVendor, "QEMU"), (Field::ProductName, "Standard PC (i440FX + PIIX, 1996)"), (Field::ProductUuid, "8a52c1ec-1111-4222-8333-944455556666")], None),
    (&[(Field::SysVendor, "QEMU"), (Field::ProductName, "Standard PC (Q35 + ICH9, 2009)"), (Field::ProductUuid, "ec1d2c3b-1111-4222-8333-944455556666")], None),
    (&[(Field::SysVendor, "Dell Inc."), (Field::ProductName, "PowerEdge R640"), (Field::ProductSerial, "ABC1234")], None),
    (&[(Field::SysVendor, "innotek GmbH"), (Field::ProductName, "VirtualBox")], None),
    (&[], None),
];

#[test]
fn firmware_tells_the_platform() {
    for (fields, platform) in MACHINES {
        assert_eq!(by_firmware(&dmi(fields)), *platform, "{fields:?}");
    }
}

fn names(datasources: &[&str], fields: &[(Field, &str)], line: &str) -> Vec<String> {
    let list: Vec<String> = datasources.iter().map(|name| (*name).to_owned()).collect();
    let choice = choose(&list, &dmi(fields), &CommandLine::parse(line));
    choice
        .wanted
        .into_iter()
        .map(|wanted| wanted.name)
        .collect()
}

/// The promise: an unknown machine asks nobody.
#[test]
fn no_service_is_asked_unless_the_platform_is_named() {
    let local = ["configdrive", "nocloud", "lxd"];
    assert_eq!(names(&["*"], &[], "console=ttyS0 quiet"), local);
    assert_eq!(names(&["*"], &[(Field::SysVendor, "QEMU")], ""), local);
    for (fields, platform) in MACHINES {
        let wanted = names(&["*"], fields, "");
        let services: Vec<_> = wanted
            .iter()
            .filter(|name| !local.contains(&name.as_str()))
            .collect();
        assert_eq!(services, platform.iter().collect::<Vec<_>>(), "{fields:?}");
    }
    assert!(names(&[], &[(Field::SysVendor, "Hetzner")], "ds=ec2").is_empty());
}

#[test]
fn the_configuration_and_the_command_line_name_platforms() {
    let hetzner = &[(Field::SysVendor, "Hetzner")][..];
    for (list, fields, line, want) in [
        (&["ec2", "gce"][..], &[][..], "", &["ec2", "gce"][..]),
        // Of several, the one that this machine is comes first.
        (&["ec2", "hetzner"], hetzner, "", &["hetzner", "ec2"]),
        (
            &["ec2", "configdrive:/media/config-2"],
            &[],
            "",
            &["configdrive", "ec2"],
        ),
        (&["EC2"], &[], "", &["ec2"]),
        (&["proxmox"], &[], "", &["nocloud"]),
        (&["configdrive"], hetzner, "ds=gce", &["configdrive", "gce"]),
        (&["configdrive"], &[], "vultr", &["configdrive", "vultr"]),
        (&["configdrive"], &[], "vultr=1", &["configdrive"]),
        (&["cmdline"], &[], "cloud-config-url=http://a/b", &["url"]),
        (&["file:/x", "url:http://a/"], &[], "", &["file", "url"]),
    ] {
        assert_eq!(names(list, fields, line), want, "{list:?} {line}");
    }
}
