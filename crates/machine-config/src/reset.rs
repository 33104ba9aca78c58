//! What a reset of the machine forgets: `ros reset` orders it, and PID 1 does it at the next boot, before anything uses it.

/// Where `ros` writes the order, on the state disk.
pub const ORDER: &str = "/var/lib/rancher/reset-order";
/// Where PID 1 moves what is forgotten, for `ros` to remove once the machine runs: that can take minutes.
pub const TRASH: &str = "/var/lib/rancher/.trash";
/// What the machine was installed with, below the machine's own files: it lets the owner in, and stays.
pub const INSTALLED_WITH: &str = "cloud-config.d/user_config.yml";

/// How much is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Settings: the machine is configured as it was installed. Host keys stay, so that clients know it.
    Configuration,
    /// Containers, images, volumes and networks of both Dockers.
    Containers,
    /// All of the state disk but the configuration that the machine was installed with.
    Everything,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Configuration, Self::Containers, Self::Everything];

    /// As the command line and the order have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Containers => "containers",
            Self::Everything => "everything",
        }
    }

    /// The scope of an order.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.name() == text.trim())
    }

    /// Directories that go, as absolute paths; none for [`Self::Everything`], with which all go.
    #[must_use]
    pub const fn directories(self) -> &'static [&'static str] {
        match self {
            // Of the first one the host keys and what the machine was installed with stay.
            Self::Configuration => &[
                super::CONF,
                "/etc/docker",
                "/var/lib/rancher/docker-good",
                "/var/lib/rancher/preload",
            ],
            Self::Containers => &[
                "/var/lib/docker",
                "/var/lib/system-docker",
                "/var/lib/kubelet",
            ],
            Self::Everything => &[],
        }
    }
}

/// What stays of [`super::CONF`] when the configuration is forgotten.
pub const KEPT_OF_CONF: &[&str] = &["ssh", INSTALLED_WITH];
