//! The worker's side of each task.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci_image::manifest::Platform;
use oci_image::progress::Report;
use oci_image::store::Store;
use oci_image::{Digest, Error, Reference, Result};
use oci_transfer::archive::{self, SaveImage};
use oci_transfer::download;
use oci_transfer::layer::{PackOptions, TarWriter, pack};
use oci_transfer::layers::{LayerSet, StagedLayer};
use oci_transfer::registry::{self, PushImage, Transfer};

use crate::confine::World;
use crate::copy::copy_up;
use crate::files;
use oci_image::task::{
    Answer, MadeImage, Outcome, Question, Request, SavedImage, Task, UNVERIFIED, WantedFile,
};

/// Does what the request asks for.
pub(super) fn run(
    request: &Request,
    world: Option<&World>,
    input: impl Read,
    output: impl Write,
    say: &(dyn Fn(Answer) + Sync),
) -> Result<Outcome> {
    match (&request.task, world) {
        (Task::Files(task), Some(world)) => {
            let said = |stat| say(Answer::Stat(stat));
            files::run(&task.action, &world.descriptors, input, output, &said)?;
            return Ok(Outcome::default());
        }
        (Task::CopyUp(task), Some(world)) => {
            let root = std::fs::File::open("/").map_err(|error| Error::io("open /", error))?;
            if let Some(volume) = &world.volume {
                copy_up(&root.into(), &task.source, volume)?;
            }
            return Ok(Outcome::default());
        }
        (Task::Files(_) | Task::CopyUp(_), None) => {
            return Err(Error::invalid(
                "files of containers need a confined process",
            ));
        }
        (
            Task::FetchFiles {
                question,
                files,
                folder,
            },
            _,
        ) => {
            let report = |progress| say(Answer::Progress(progress));
            return ask(question, &report, |reference, transfer| {
                fetch(reference, files, folder, transfer)
            });
        }
        (Task::Tags(question), _) => {
            let report = |progress| say(Answer::Progress(progress));
            return ask(question, &report, |reference, transfer| {
                Ok(Outcome {
                    tags: registry::tags(reference, transfer)?,
                    ..Outcome::default()
                })
            });
        }
        _ => {}
    }
    images(request, input, output, &|progress| {
        say(Answer::Progress(progress))
    })
}

fn describe(reference: &Reference, transfer: &Transfer<'_>) -> Result<Outcome> {
    Ok(Outcome {
        description: Some(registry::describe(reference, transfer)?),
        ..Outcome::default()
    })
}

/// Tasks about images, which work on the content store.
fn images(
    request: &Request,
    input: impl Read,
    output: impl Write,
    report: Report<'_>,
) -> Result<Outcome> {
    let layers = LayerSet {
        store: Store::open(&request.root)?,
        external: request.external.clone(),
    };
    match &request.task {
        Task::Pull {
            reference,
            platform,
            known,
            registry,
            credentials,
        } => {
            let platform = platform.as_deref().map(Platform::parse).transpose()?;
            let transfer = Transfer {
                options: registry,
                credentials,
                platform: platform.as_ref(),
                known,
                report,
            };
            pull(reference, &layers, &transfer)
        }
        Task::Describe(question) => ask(question, report, describe),
        Task::Search {
            term,
            limit,
            registry,
            credentials,
        } => {
            let found = registry::search(term, *limit, credentials, registry)?;
            Ok(Outcome {
                found,
                ..Outcome::default()
            })
        }
        Task::Push {
            references,
            config,
            registry: options,
            credentials,
        } => {
            let (platform, known) = (None, &BTreeMap::new());
            let transfer = Transfer {
                options,
                credentials,
                platform,
                known,
                report,
            };
            push(references, config, &layers, &transfer)
        }
        Task::Load => load(input, &layers, report),
        Task::Save { images } => save(images, &layers, output),
        Task::Import { url, registry } => {
            let staged = match url {
                Some(url) => layers.stage_layer(download::open(url, registry)?)?,
                None => layers.stage_layer(input)?,
            };
            made(&layers, staged)
        }
        Task::Commit { upper, leave_out } => commit(upper, leave_out, &layers),
        Task::Files(_) | Task::CopyUp(_) | Task::Tags(_) | Task::FetchFiles { .. } => {
            Err(Error::invalid("this task needs no store of images"))
        }
        Task::Login {
            domain,
            registry,
            credentials,
        } => registry::login(domain, credentials, registry).map(|()| Outcome::default()),
    }
}

fn ask(
    question: &Question,
    report: Report<'_>,
    answer: impl FnOnce(&Reference, &Transfer<'_>) -> Result<Outcome>,
) -> Result<Outcome> {
    let transfer = Transfer {
        options: &question.registry,
        credentials: &question.credentials,
        platform: None,
        known: &BTreeMap::new(),
        report,
    };
    answer(&Reference::parse(&question.reference)?, &transfer)
}

/// Files of an image; an answer tells bytes that are not what was promised from a registry that does not answer.
fn fetch(
    reference: &Reference,
    files: &[WantedFile],
    folder: &Path,
    transfer: &Transfer<'_>,
) -> Result<Outcome> {
    let fetched = registry::fetch_files(reference, files, folder, transfer);
    let digest = fetched.map_err(|error| match error {
        Error::Invalid(_) | Error::DigestMismatch { .. } | Error::Limit { .. } => Error::Registry {
            status: UNVERIFIED,
            message: error.to_string(),
        },
        other => other,
    })?;
    Ok(Outcome {
        images: vec![MadeImage {
            id: digest.clone(),
            layers: Vec::new(),
            references: Vec::new(),
            digest: Some(digest),
            manifest_size: 0,
        }],
        ..Outcome::default()
    })
}

fn pull(reference: &str, layers: &LayerSet, transfer: &Transfer<'_>) -> Result<Outcome> {
    let pulled = registry::pull(&Reference::parse(reference)?, layers, transfer)?;
    Ok(Outcome {
        images: vec![MadeImage {
            id: pulled.id,
            layers: pulled.layers,
            references: Vec::new(),
            digest: Some(pulled.digest),
            manifest_size: 0,
        }],
        ..Outcome::default()
    })
}

fn push(
    references: &[String],
    config: &Digest,
    layers: &LayerSet,
    transfer: &Transfer<'_>,
) -> Result<Outcome> {
    let config = layers.store.read_blob(config)?;
    let mut outcome = Outcome::default();
    for reference in references {
        let image = PushImage {
            reference: Reference::parse(reference)?,
            config: config.clone(),
        };
        let pushed = registry::push(&image, layers, transfer)?;
        outcome.images.push(MadeImage {
            id: Digest::sha256(&config),
            layers: Vec::new(),
            references: vec![reference.clone()],
            digest: Some(pushed.digest),
            manifest_size: pushed.size,
        });
    }
    Ok(outcome)
}

fn load(input: impl Read, layers: &LayerSet, report: Report<'_>) -> Result<Outcome> {
    let images = archive::load(input, layers, report)?
        .into_iter()
        .map(|loaded| MadeImage {
            id: loaded.id,
            layers: loaded.layers,
            references: loaded.references.iter().map(ToString::to_string).collect(),
            digest: None,
            manifest_size: 0,
        });
    Ok(Outcome {
        images: images.collect(),
        ..Outcome::default()
    })
}

fn save(images: &[SavedImage], layers: &LayerSet, output: impl Write) -> Result<Outcome> {
    let mut saved = Vec::new();
    for image in images {
        let references = image.references.iter().map(|text| Reference::parse(text));
        let config = layers.store.read_blob(&image.config.parse()?)?;
        saved.push(SaveImage {
            created: image.created,
            config,
            references: references.collect::<Result<_>>()?,
        });
    }
    archive::save(output, &saved, layers)?;
    Ok(Outcome::default())
}

fn made(layers: &LayerSet, staged: StagedLayer) -> Result<Outcome> {
    let info = layers.commit(staged, &[])?;
    Ok(Outcome {
        layer: Some(info.diff_id),
        ..Outcome::default()
    })
}

/// Packs the directory and unpacks the tar at once, which copies it and finds its digest.
fn commit(upper: &Path, leave_out: &[PathBuf], layers: &LayerSet) -> Result<Outcome> {
    let leave_out = leave_out.iter().map(|path| path.as_os_str().as_bytes());
    let options = PackOptions {
        leave_out: leave_out.map(<[u8]>::to_vec).collect(),
        ..PackOptions::layer()
    };
    let (reader, writer) = std::io::pipe().map_err(|error| Error::io("make a pipe", error))?;
    let staged = std::thread::scope(|scope| {
        let packer = scope.spawn(move || {
            let mut tar = TarWriter::new(std::io::BufWriter::new(writer));
            pack(upper, &mut tar, &options)?;
            tar.finish().map(drop)
        });
        let staged = layers.stage_layer(reader);
        let packed = packer
            .join()
            .map_err(|_| Error::invalid("packing the layer panicked"))?;
        // a failed unpack breaks the pipe: its error is the cause
        let staged = staged?;
        packed.map(|()| staged)
    })?;
    made(layers, staged)
}
