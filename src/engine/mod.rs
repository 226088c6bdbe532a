//! Adapters to networks. Each implements the kernel's `Engine` port; nobody but `app` knows which.

pub mod web;
