//! `/api/sessions`, one file per verb.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod logout;
pub mod me;
pub mod reconnect;
pub mod restart;
pub mod start;
pub mod status;
pub mod stop;
pub mod update;

pub use create::create;
pub use delete::delete;
pub use get::get;
pub use list::list;
pub use logout::logout;
pub use me::me;
pub use reconnect::reconnect;
pub use restart::restart;
pub use start::start;
pub use status::status;
pub use stop::stop;
pub use update::update;
