//! `gearshift completions` and `gearshift man`: made from the definitions of the command line itself.

use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// What `shell` needs to complete the command line.
pub(crate) fn completions(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page; with a folder, one for each subcommand in it, and what was written.
///
/// # Errors
/// Where the folder cannot be written.
pub(crate) fn pages(command: Command, folder: Option<&Path>) -> Result<String, String> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(|error| error.to_string())?;
        return Ok(String::from_utf8_lossy(&page).into_owned());
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(format!("the pages are in {}; try: man -l {0}/gearshift.1", folder.display()))
}
