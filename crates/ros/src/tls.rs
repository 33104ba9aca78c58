//! `ros tls generate`: a certificate authority of the machine's own, and certificates of Docker's server and clients.
//!
//! The authority's key is in the machine's own configuration (`rancher.docker.ca_key`), as in RancherOS; keys are ECDSA on
//! P-256 where RancherOS had RSA.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use cloud_init::store::write_atomic;
use config::Docker;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::machine_config::MachineConfig;
use crate::own_file::OwnFile;

/// Where dockerd finds its certificates, and a client its own.
pub(crate) const SERVER_FOLDER: &str = "/etc/docker/tls";
const CLIENT_FOLDER: &str = "/home/rancher/.docker";
/// User rancher.
const RANCHER: u32 = 1100;

/// Name of the authority.
const AUTHORITY: &str = "RancherOS";

/// Days before now from which certificates count, for clocks that are behind; and until when.
const BEGIN: (i32, u8, u8) = (2020, 1, 1);
const END: (i32, u8, u8) = (2120, 1, 1);

/// A certificate and its key, PEM.
struct Pair {
    certificate: String,
    key: String,
}

/// Makes certificates for a server, which the configuration keeps, or for a client.
pub(crate) fn main(
    server: bool,
    names: &[String],
    folder: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let docker = MachineConfig::load().loaded.config.rancher.docker;
    let default = if server { SERVER_FOLDER } else { CLIENT_FOLDER };
    let folder = folder.map_or_else(|| PathBuf::from(default), Path::to_owned);
    if server {
        generate_server(&docker, names, &folder)?;
    } else {
        let authority = authority(&docker)?;
        let client = signed(
            &authority,
            &["client".to_owned()],
            ExtendedKeyUsagePurpose::ClientAuth,
        )?;
        write(
            &folder,
            &[
                ("ca.pem", &authority.certificate),
                ("cert.pem", &client.certificate),
                ("key.pem", &client.key),
            ],
        )?;
        if folder == Path::new(CLIENT_FOLDER) {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                sys::fs::set_owner(&entry.path(), RANCHER, RANCHER)?;
            }
            sys::fs::set_owner(&folder, RANCHER, RANCHER)?;
        }
    }
    println!("certificates are in {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

/// What dockerd needs with `rancher.docker.tls`: the configured certificates, or new ones for this machine.
pub(crate) fn prepare_server(docker: &Docker, hostname: &str) -> anyhow::Result<()> {
    let folder = Path::new(SERVER_FOLDER);
    match (&docker.ca_cert, &docker.server_cert, &docker.server_key) {
        (Some(authority), Some(certificate), Some(key)) => write(
            folder,
            &[
                ("ca.pem", authority),
                ("server-cert.pem", certificate),
                ("server-key.pem", key),
            ],
        ),
        _ => generate_server(
            docker,
            &["localhost".to_owned(), hostname.to_owned()],
            folder,
        ),
    }
}

fn generate_server(docker: &Docker, names: &[String], folder: &Path) -> anyhow::Result<()> {
    let authority = authority(docker)?;
    let server = signed(&authority, names, ExtendedKeyUsagePurpose::ServerAuth)?;
    let mut file = OwnFile::read()?;
    file.set_text("rancher.docker.server_cert", &server.certificate);
    file.set_text("rancher.docker.server_key", &server.key);
    file.write()?;
    write(
        folder,
        &[
            ("ca.pem", &authority.certificate),
            ("server-cert.pem", &server.certificate),
            ("server-key.pem", &server.key),
        ],
    )
}

/// The authority of the configuration, or a new one that the configuration keeps from now on.
fn authority(docker: &Docker) -> anyhow::Result<Pair> {
    if let (Some(certificate), Some(key)) = (&docker.ca_cert, &docker.ca_key) {
        return Ok(Pair {
            certificate: certificate.clone(),
            key: key.clone(),
        });
    }
    let pair = new_authority()?;
    let mut file = OwnFile::read()?;
    file.set_text("rancher.docker.ca_cert", &pair.certificate);
    file.set_text("rancher.docker.ca_key", &pair.key);
    file.write()?;
    Ok(pair)
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::OrganizationName, AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.not_before = rcgen::date_time_ymd(BEGIN.0, BEGIN.1, BEGIN.2);
    params.not_after = rcgen::date_time_ymd(END.0, END.1, END.2);
    params
}

fn new_authority() -> anyhow::Result<Pair> {
    let key = KeyPair::generate().context("cannot make a key")?;
    let certificate = authority_params()
        .self_signed(&key)
        .context("cannot make the authority's certificate")?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// A certificate for these names or addresses, signed by the authority.
fn signed(
    authority: &Pair,
    names: &[String],
    purpose: ExtendedKeyUsagePurpose,
) -> anyhow::Result<Pair> {
    ensure!(!names.is_empty(), "a certificate needs a name");
    let key = KeyPair::from_pem(&authority.key).context(
        "rancher.docker.ca_key cannot be used: take it and ca_cert out to make new ones",
    )?;
    // Only the name and the key of the authority are in what it signs.
    let issuer = Issuer::new(authority_params(), key);
    let mut params =
        CertificateParams::new(names.to_vec()).context("a name cannot be in a certificate")?;
    params
        .distinguished_name
        .push(DnType::CommonName, names[0].clone());
    params.extended_key_usages = vec![purpose];
    params.not_before = rcgen::date_time_ymd(BEGIN.0, BEGIN.1, BEGIN.2);
    params.not_after = rcgen::date_time_ymd(END.0, END.1, END.2);
    let own = KeyPair::generate().context("cannot make a key")?;
    let certificate = params
        .signed_by(&own, &issuer)
        .context("cannot sign a certificate")?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: own.serialize_pem(),
    })
}

fn write(folder: &Path, files: &[(&str, &String)]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, text) in files {
        let mode = if name.contains("key") { 0o600 } else { 0o644 };
        write_atomic(&folder.join(name), text.as_bytes(), mode)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_signs_names_and_addresses() {
        let authority = new_authority().unwrap();
        let names = ["localhost".to_owned(), "10.0.0.1".to_owned()];
        let server = signed(&authority, &names, ExtendedKeyUsagePurpose::ServerAuth).unwrap();
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &[
                ("ca.pem", &authority.certificate),
                ("server-cert.pem", &server.certificate),
                ("server-key.pem", &server.key),
            ],
        )
        .unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        // The stock program is the judge, where there is one.
        let verified = sys::process::Command::new("openssl")
            .args([
                "verify",
                "-CAfile",
                &path("ca.pem"),
                &path("server-cert.pem"),
            ])
            .run();
        if let Ok(output) = verified {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        assert!(signed(&authority, &[], ExtendedKeyUsagePurpose::ServerAuth).is_err());
    }
}
