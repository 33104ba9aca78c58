//! The verbs about registries: login, logout, push and search.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, bail};
use engine_api::{AuthConfig, Client};

use super::arguments::{Login, Push, Search};
use super::credentials::{self, Credentials};
use super::listing::{self, Row, Show, row};
use super::terminal::Raw;
use super::{filters, images, table};

/// Characters of a description that docker shows.
const DESCRIPTION: usize = 45;
/// Ctrl-C and the two bytes that terminals send for the backspace key.
const INTERRUPT: u8 = 3;
const BACKSPACE: [u8; 2] = [8, 127];

/// `login`
pub(super) async fn login(client: &Client, options: &Login) -> anyhow::Result<()> {
    let registry = credentials::key(options.server.as_deref().unwrap_or_default());
    let mut credentials = Credentials::open()?;
    let mut auth = AuthConfig {
        username: user(options)?,
        serveraddress: registry,
        ..AuthConfig::default()
    };
    auth.password = password(options)?;
    let answer = client.auth(&auth).await?;
    auth.identitytoken = answer.identity_token;
    eprintln!(
        "WARNING! Your password will be stored unencrypted in {}.",
        credentials.path().display()
    );
    credentials.set(&auth)?;
    println!("{}", answer.status);
    Ok(())
}

fn user(options: &Login) -> anyhow::Result<String> {
    if let Some(name) = &options.username {
        return Ok(name.clone());
    }
    if options.password_stdin {
        bail!("Must provide --username with --password-stdin");
    }
    ensure_terminal()?;
    print!("Username: ");
    std::io::stdout().flush()?;
    let mut name = String::new();
    std::io::stdin().lock().read_line(&mut name)?;
    match name.trim() {
        "" => bail!("username is required"),
        name => Ok(name.to_owned()),
    }
}

fn password(options: &Login) -> anyhow::Result<String> {
    let password = if let Some(password) = &options.password {
        eprintln!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        password.clone()
    } else if options.password_stdin {
        let text = std::io::read_to_string(std::io::stdin()).context("standard input")?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        ensure_terminal()?;
        hidden_line("Password: ")?
    };
    if password.is_empty() {
        bail!("password is required");
    }
    Ok(password)
}

fn ensure_terminal() -> anyhow::Result<()> {
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    bail!("cannot perform an interactive login from a non TTY device")
}

/// A line that is not shown while it is typed.
fn hidden_line(prompt: &str) -> anyhow::Result<String> {
    let raw = Raw::enter()?;
    print!("{prompt}");
    std::io::stdout().flush()?;
    let mut line = Vec::new();
    for byte in std::io::stdin().lock().bytes() {
        match byte? {
            b'\r' | b'\n' => break,
            INTERRUPT => bail!("interrupted"),
            byte if BACKSPACE.contains(&byte) => drop(line.pop()),
            byte => line.push(byte),
        }
    }
    drop(raw);
    println!();
    String::from_utf8(line).context("a password is UTF-8")
}

/// `logout`
pub(super) fn logout(server: Option<&str>) -> anyhow::Result<()> {
    let registry = credentials::key(server.unwrap_or_default());
    if Credentials::open()?.remove(&registry)? {
        println!("Removing login credentials for {registry}");
    } else {
        println!("Not logged in to {registry}");
    }
    Ok(())
}

/// `push`
pub(super) async fn push(client: &Client, options: &Push) -> anyhow::Result<()> {
    let auth = credentials::for_image(&options.image)?;
    let image = if options.all_tags {
        options.image.clone()
    } else {
        images::with_tag(&options.image)
    };
    if image != options.image && !options.quiet {
        println!("Using default tag: latest");
    }
    let (repository, tag) = images::repository_and_tag(&image);
    let messages = client
        .image_push(repository, tag.unwrap_or_default(), auth.as_ref())
        .await?;
    images::progress(messages, options.quiet).await?;
    if options.quiet {
        println!("{}", images::whole_name(&image));
    }
    Ok(())
}

/// `search`
pub(super) async fn search(client: &Client, options: &Search) -> anyhow::Result<()> {
    let found = client
        .image_search(&options.term, options.limit, &filters(&options.filters)?)
        .await?;
    let rows: Vec<Row> = found
        .iter()
        .map(|item| {
            let description = item.description.replace(['\r', '\n'], " ");
            let shown = if options.no_trunc {
                description
            } else {
                table::ellipsis(&description, DESCRIPTION)
            };
            let official = if item.is_official { "[OK]" } else { "" };
            row([
                ("Name", item.name.clone()),
                ("Description", shown),
                ("StarCount", item.star_count.to_string()),
                ("IsOfficial", official.to_owned()),
            ])
        })
        .collect();
    let columns = [
        ("NAME", "Name"),
        ("DESCRIPTION", "Description"),
        ("STARS", "StarCount"),
        ("OFFICIAL", "IsOfficial"),
    ];
    let show = Show {
        only: None,
        format: options.format.as_deref(),
    };
    listing::print(&rows, &columns, &show)
}
