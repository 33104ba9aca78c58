//! Calls about images.

use http::{Method, header};

use super::query::Target;
use super::system::filters_text;
use super::transport::finish;
use super::{ByteStream, Client, JsonLines};
use crate::body::Body;
use crate::{
    AuthConfig, ContainerConfig, Filters, HistoryItem, IdResponse, ImageDeleteItem, ImageInspect,
    ImageSearchItem, ImageSummary, ImagesPruneReport, ProgressMessage, Result, base64,
};

/// Credentials as the `X-Registry-Auth` header carries them.
#[derive(Debug, Clone)]
pub struct RegistryAuth(String);

impl RegistryAuth {
    /// Encodes credentials.
    ///
    /// # Errors
    /// Never in practice: the type is plain data.
    pub fn new(auth: &AuthConfig) -> Result<Self> {
        Ok(Self(base64::encode_url_safe(&serde_json::to_vec(auth)?)))
    }
}

/// Parameters of import.
#[derive(Debug, Clone, Default)]
pub struct ImportQuery {
    /// A URL, or `-` for the archive that is sent along.
    pub source: String,
    /// Repository of the new image; empty for none.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// Message.
    pub message: String,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// Platform of the programs in it; none means the engine's.
    pub platform: Option<String>,
}

/// Parameters of commit.
#[derive(Debug, Clone, Default)]
pub struct CommitQuery {
    /// Repository of the new image; empty for none.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// Message.
    pub comment: String,
    /// Author.
    pub author: String,
    /// Freeze the container meanwhile.
    pub pause: bool,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// Configuration laid over the container's.
    pub config: ContainerConfig,
}

fn of(name: &str, rest: &str) -> Target {
    Target::of("images", name, rest)
}

impl Client {
    /// Images.
    ///
    /// # Errors
    /// 400 for an unknown filter.
    pub async fn image_list(&self, all: bool, filters: &Filters) -> Result<Vec<ImageSummary>> {
        self.get(
            &Target::new("/images/json")
                .flag("all", all)
                .with_some("filters", filters_text(filters)),
        )
        .await
    }

    /// One image.
    ///
    /// # Errors
    /// 404 when there is no such image.
    pub async fn image_inspect(&self, name: &str) -> Result<ImageInspect> {
        self.get(&of(name, "/json")).await
    }

    /// How an image came to be.
    ///
    /// # Errors
    /// 404 when there is no such image.
    pub async fn image_history(&self, name: &str) -> Result<Vec<HistoryItem>> {
        self.get(&of(name, "/history")).await
    }

    /// Pulls; the stream's last line may carry an error.
    ///
    /// # Errors
    /// 400 for an invalid reference. What fails later is in the stream.
    pub async fn image_create(
        &self,
        reference: &str,
        platform: Option<&str>,
        auth: Option<&RegistryAuth>,
    ) -> Result<JsonLines<ProgressMessage>> {
        let target = Target::new("/images/create")
            .with("fromImage", reference)
            .with_some("platform", platform);
        self.progress(&target, auth, Body::Empty).await
    }

    /// Makes an image from a tar archive of a root file system.
    ///
    /// # Errors
    /// 400 for an invalid reference or change. What fails later is in the stream.
    pub async fn image_import(
        &self,
        query: &ImportQuery,
        archive: Body,
    ) -> Result<JsonLines<ProgressMessage>> {
        let mut target = Target::new("/images/create")
            .with("fromSrc", &query.source)
            .with("repo", &query.repository)
            .with("tag", &query.tag)
            .with_some(
                "message",
                Some(&query.message).filter(|text| !text.is_empty()),
            )
            .with_some("platform", query.platform.as_deref());
        for change in &query.changes {
            target = target.with("changes", change);
        }
        self.progress(&target, None, archive).await
    }

    /// Pushes; the stream's last line may carry an error.
    ///
    /// # Errors
    /// 400 for an invalid reference. What fails later is in the stream.
    pub async fn image_push(
        &self,
        name: &str,
        tag: &str,
        auth: Option<&RegistryAuth>,
    ) -> Result<JsonLines<ProgressMessage>> {
        self.progress(&of(name, "/push").with("tag", tag), auth, Body::Empty)
            .await
    }

    /// Loads the images of an archive (docker save or OCI layout).
    ///
    /// # Errors
    /// When the archive cannot be read to its end. What is wrong with its content is in the stream.
    pub async fn image_load(&self, archive: Body) -> Result<JsonLines<ProgressMessage>> {
        self.progress(
            &Target::new("/images/load").with("quiet", "1"),
            None,
            archive,
        )
        .await
    }

    async fn progress(
        &self,
        target: &Target,
        auth: Option<&RegistryAuth>,
        body: Body,
    ) -> Result<JsonLines<ProgressMessage>> {
        let mut request = self.request(Method::POST, target);
        if let Some(RegistryAuth(text)) = auth {
            request = request.header("x-registry-auth", text);
        }
        if !matches!(body, Body::Empty) {
            request = request.header(header::CONTENT_TYPE, "application/x-tar");
        }
        let response = self.send(finish(request, body)?).await?;
        Ok(ByteStream::new(response.into_body()).json_lines())
    }

    /// Images as an archive that `image_load` and `docker load` read.
    ///
    /// # Errors
    /// 404 when there is no such image. An archive that is cut short ends in an error.
    pub async fn image_save(&self, names: &[&str]) -> Result<ByteStream> {
        let target = names
            .iter()
            .fold(Target::new("/images/get"), |target, name| {
                target.with("names", name)
            });
        self.stream(Method::GET, &target).await
    }

    /// Gives an image a further name.
    ///
    /// # Errors
    /// 400 for an invalid name, 404 when there is no such image.
    pub async fn image_tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        self.unit(
            Method::POST,
            &of(name, "/tag").with("repo", repository).with("tag", tag),
        )
        .await
    }

    /// Removes a name, and the image with its last name.
    ///
    /// # Errors
    /// 404 when there is no such image, 409 when containers use it.
    pub async fn image_remove(
        &self,
        name: &str,
        force: bool,
        no_prune: bool,
    ) -> Result<Vec<ImageDeleteItem>> {
        let response = self
            .call(
                Method::DELETE,
                &of(name, "").flag("force", force).flag("noprune", no_prune),
            )
            .await?;
        super::transport::read_json(response).await
    }

    /// Searches Docker Hub.
    ///
    /// # Errors
    /// 400 for an unknown filter, 500 when Docker Hub cannot be reached.
    pub async fn image_search(
        &self,
        term: &str,
        limit: Option<u32>,
        filters: &Filters,
    ) -> Result<Vec<ImageSearchItem>> {
        let target = Target::new("/images/search")
            .with("term", term)
            .with_some("limit", limit.map(|limit| limit.to_string()))
            .with_some("filters", filters_text(filters));
        self.get(&target).await
    }

    /// Removes unused images.
    ///
    /// # Errors
    /// 400 for an unknown filter.
    pub async fn images_prune(&self, filters: &Filters) -> Result<ImagesPruneReport> {
        self.post_empty(&Target::new("/images/prune").with_some("filters", filters_text(filters)))
            .await
    }

    /// Makes an image from a container.
    ///
    /// # Errors
    /// 400 for an invalid reference or change, 404 when there is no such container.
    pub async fn container_commit(
        &self,
        container: &str,
        query: &CommitQuery,
    ) -> Result<IdResponse> {
        let mut target = Target::new("/commit")
            .with("container", container)
            .with("repo", &query.repository)
            .with("tag", &query.tag)
            .with("comment", &query.comment)
            .with("author", &query.author)
            .with("pause", if query.pause { "1" } else { "0" });
        for change in &query.changes {
            target = target.with("changes", change);
        }
        self.post_json(&target, &query.config).await
    }
}
