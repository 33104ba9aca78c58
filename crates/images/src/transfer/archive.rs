//! Archives of images: `docker load` and `docker save`.

use bytes::Bytes;
use engine_api::options::{ByteStream, STREAM_DEPTH};
use engine_api::{ProgressMessage, Result};
use oci_image::{Digest, Reference};
use tokio::sync::mpsc;

use super::{ProgressStream, error_message};
use crate::worker::{Started, drain, feed, messages};
use crate::{Images, parse_reference};
use oci_image::task::{Outcome, SavedImage, Task};

fn stream(text: String) -> ProgressMessage {
    ProgressMessage {
        stream: text,
        ..ProgressMessage::default()
    }
}

impl Images {
    /// Loads an archive. `quiet` leaves out the progress of layers.
    ///
    /// # Errors
    /// When no worker can be started. Later failures are in the stream.
    pub async fn load(&self, body: ByteStream, quiet: bool) -> Result<ProgressStream> {
        let Started {
            mut worker, input, ..
        } = self.start(Task::Load).await?;
        let feeder = engine_api::tasks::spawn(feed(input, body, worker.movement()));
        let (sender, receiver) = messages();
        let images = self.clone();
        engine_api::tasks::spawn(async move {
            let outcome = if quiet {
                worker.outcome().await
            } else {
                worker.follow(&sender).await
            };
            feeder.abort();
            let loaded = match outcome {
                Ok(outcome) => images.adopt_loaded(outcome),
                Err(error) => Err(error),
            };
            match loaded {
                Ok(lines) => {
                    for line in lines {
                        let _ = sender.send(stream(line)).await;
                    }
                }
                Err(error) => {
                    // the client may have gone
                    let _ = sender.send(error_message(&error)).await;
                }
            }
        });
        Ok(receiver)
    }

    fn adopt_loaded(&self, outcome: Outcome) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for image in outcome.images {
            self.register_new(&image.id)?;
            for text in &image.references {
                let reference = parse_reference(text)?.or_latest();
                let before = self.0.state.borrow().table.get(&reference).cloned();
                if let Some(before) = before.filter(|before| *before != image.id) {
                    lines.push(format!(
                        "The image {} already exists, renaming the old one with ID {before} to empty string\n",
                        reference.familiar()
                    ));
                }
                // No tagging to Docker: neither the event nor the time of the last one.
                let mut state = self.0.state.borrow_mut();
                state.table.set(reference.clone(), &image.id)?;
                lines.push(format!("Loaded image: {}\n", reference.familiar()));
            }
            if image.references.is_empty() {
                lines.push(format!("Loaded image ID: {}\n", image.id));
            }
            self.event("load", &image.id.to_string(), &image.id.to_string());
        }
        Ok(lines)
    }

    /// Writes images to an archive. A name without tag saves all tags of the repository.
    ///
    /// # Errors
    /// 404 for no such image, 500 when a layer is missing.
    pub async fn save(&self, names: &[String]) -> Result<ByteStream> {
        let mut images: Vec<(Digest, Vec<Reference>)> = Vec::new();
        for name in names {
            for (id, references) in self.to_save(name)? {
                match images.iter_mut().find(|(known, _)| *known == id) {
                    Some((_, known)) => known.extend(references),
                    None => images.push((id, references)),
                }
            }
        }
        let mut saved = Vec::new();
        for (id, references) in &images {
            saved.push(SavedImage {
                config: id.to_string(),
                references: references.iter().map(ToString::to_string).collect(),
                created: self.prepare_layers(id)?,
            });
        }
        let task = Task::Save { images: saved };
        let Started {
            mut worker,
            input,
            output,
        } = self.start(task).await?;
        drop(input);
        let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(STREAM_DEPTH);
        let this = self.clone();
        engine_api::tasks::spawn(async move {
            if !drain(output, &sender).await {
                return;
            }
            match worker.outcome().await {
                Ok(_) => {
                    for (id, _) in &images {
                        this.event("save", &id.to_string(), &id.to_string());
                    }
                }
                Err(error) => {
                    // the client may have gone
                    let _ = sender.send(Err(std::io::Error::other(error.message))).await;
                }
            }
        });
        Ok(receiver)
    }
}
