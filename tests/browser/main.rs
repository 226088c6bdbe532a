//! The whole product as its users meet it: the release binary, a real Chromium, the simulator in a process of its own.

mod apart;
mod comeback;
mod dashboard;
mod figures;
mod house;
mod journey;
mod login;
mod rude;
mod secrets;
