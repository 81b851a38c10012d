//! Keys that are rotated, stolen, copied or left lying open, on real parts.

mod files;
mod forks;
mod logs;
mod rotation;
mod scene;
mod stolen;
