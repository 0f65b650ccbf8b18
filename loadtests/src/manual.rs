//! Completions and manual pages of the offline binaries, made from the definitions of their command lines.

use std::path::Path;

use clap::Command;
pub use clap_complete::Shell;
use clap_mangen::Man;

use crate::Error;

/// What `shell` needs to complete the command line.
pub fn completions(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page; with a folder, one for each subcommand in it, and what was written.
///
/// # Errors
/// Where the folder cannot be written.
pub fn pages(command: Command, folder: Option<&Path>) -> Result<String, Error> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return Ok(String::from_utf8_lossy(&page).into_owned());
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(Error::file(folder))?;
    Ok(format!("the pages are in {}\n", folder.display()))
}
