//! The fleet: every reference resolved, every backend told apart.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{
    Check,
    catalog::hardware_facts,
    controller::{self, Shiftable},
    models,
    server::secret,
    url,
};
use crate::{
    Backend, BackendId, BackendUrl, Catalog, Declared, Hardware, HardwareFacts, HardwareId, Model, ModelId,
    Profile,
    raw::{RawBackend, RawBackendHardware, RawHardware, TextOr},
    suggest::suggest,
    yaml::Path,
};

const MAX_ACCELERATORS: u32 = 4096;

/// What backends may refer to.
pub(super) struct Known<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) hardware: &'a IndexMap<String, Arc<HardwareFacts>>,
    pub(super) profiles: &'a [Arc<Profile>],
    /// Grows by the models that only the catalog declares, once a backend serves them.
    pub(super) models: &'a mut Vec<Model>,
}

/// Hardware that the file declares; it wins over the catalog's entry of the same name.
pub(super) fn user_hardware(
    check: &mut Check<'_>,
    at: &Path,
    raw: &IndexMap<String, RawHardware>,
    catalog: &Catalog,
) -> IndexMap<String, Arc<HardwareFacts>> {
    raw.iter()
        .map(|(name, raw)| {
            let at = at.key(name);
            check.name(&at, name);
            let base = raw.like.as_ref().and_then(|like| {
                let base = catalog.hardware(like);
                if base.is_none() {
                    let what = format!("the catalog has no hardware {like:?}");
                    check.wrong(&at.key("like"), what, suggest(like, catalog.hardware_names()));
                }
                base
            });
            // An unknown base has been reported; its numbers are not missed one by one as well.
            let stand_in = raw.like.as_ref().and_then(|_| catalog.hardware("h100_sxm"));
            let facts = hardware_facts(check, &at, name, raw, base.or(stand_in).map(AsRef::as_ref));
            (name.clone(), Arc::new(facts))
        })
        .collect()
}

pub(super) fn backends(
    check: &mut Check<'_>,
    at: &Path,
    raw: &[RawBackend],
    known: &mut Known<'_>,
) -> Vec<Backend> {
    if raw.is_empty() {
        check.wrong(at, "there is no backend", "list at least `- url: http://127.0.0.1:8000`".to_owned());
    }
    let mut backends: Vec<Backend> = Vec::with_capacity(raw.len());
    let mut names: IndexMap<String, usize> = IndexMap::new();
    let mut urls: IndexMap<BackendUrl, usize> = IndexMap::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = at.index(index);
        let url = base_url(check, &at.key("url"), raw.url.as_ref());
        let url_is_new = url.as_ref().is_none_or(|url| is_new_url(check, &at, url, &mut urls));
        let name = raw.name.clone().or_else(|| url.as_ref().map(derived_name)).unwrap_or_default();
        // A name that comes from a URL stands twice because the URL does, which has been said.
        if raw.name.is_some() || (url.is_some() && url_is_new) {
            claim_name(check, &at.key("name"), &name, &mut names);
        }
        let url = url.unwrap_or_else(|| BackendUrl {
            tls: false,
            host: String::new(),
            port: 80,
            path: String::new(),
        });
        backends.push(backend(check, &at, raw, (BackendId::new(name), url), known));
    }
    backends
}

fn is_new_url(
    check: &mut Check<'_>,
    at: &Path,
    url: &BackendUrl,
    seen: &mut IndexMap<BackendUrl, usize>,
) -> bool {
    let at = at.key("url");
    if let Some(line) = seen.get(url) {
        let fix = "keep one; leave `model` out if the engine serves several".to_owned();
        check.wrong(&at, format!("{url} is a backend already, on line {line}"), fix);
        return false;
    }
    seen.insert(url.clone(), check.line(&at));
    true
}

fn claim_name(check: &mut Check<'_>, at: &Path, name: &str, seen: &mut IndexMap<String, usize>) {
    check.name(at, name);
    if let Some(line) = seen.get(name) {
        let what = format!("{name:?} is the name of a backend already, on line {line}");
        check.wrong(at, what, "give it a name of its own".to_owned());
    } else {
        seen.insert(name.to_owned(), check.line(at));
    }
}

/// A base URL, to which clients' paths are added.
pub(super) fn base_url(check: &mut Check<'_>, at: &Path, raw: Option<&String>) -> Option<BackendUrl> {
    read_url(check, at, raw, url::parse)
}

/// A URL that is asked as it stands.
pub(super) fn whole_url(check: &mut Check<'_>, at: &Path, raw: Option<&String>) -> Option<BackendUrl> {
    read_url(check, at, raw, url::parse_whole)
}

fn read_url(
    check: &mut Check<'_>,
    at: &Path,
    raw: Option<&String>,
    parse: fn(&str) -> Result<BackendUrl, String>,
) -> Option<BackendUrl> {
    const EXAMPLE: &str = "url: http://127.0.0.1:8000";
    let text = check.required(at, raw, EXAMPLE)?;
    let text = check.expand(at, text)?;
    match parse(&text) {
        Ok(url) => Some(url),
        Err(what) => {
            check.wrong(at, what, format!("write, for instance, `{EXAMPLE}`"));
            None
        }
    }
}

/// Host and port, and the path where there is one.
fn derived_name(url: &BackendUrl) -> String {
    let text = url.to_string();
    text.split_once("://").map_or(text.clone(), |(_, rest)| rest.to_owned())
}

fn backend(
    check: &mut Check<'_>,
    at: &Path,
    raw: &RawBackend,
    (id, url): (BackendId, BackendUrl),
    known: &mut Known<'_>,
) -> Backend {
    let hardware = raw.hardware.as_ref().and_then(|raw| hardware(check, &at.key("hardware"), raw, known));
    let profile = profile(check, &at.key("profile"), raw.profile.as_deref(), known);
    if let (Some(hardware), Declared::Is(profile)) = (&hardware, &profile)
        && !check.lost_children(&at.key("hardware"))
    {
        parallelism(check, &at.key("profile"), hardware, profile);
    }
    let price_at = at.key("price_usd_per_hour");
    if let Some(price) = raw.price_usd_per_hour
        && price <= 0.0
    {
        let fix = "write US dollars an hour, above 0, or leave it out".to_owned();
        check.wrong(&price_at, format!("{price} is not a price"), fix);
    }
    let list_price = hardware.as_ref().map(|hw| hw.facts.price_usd_per_hour * f64::from(hw.count));
    let api_key = raw.api_key.as_ref().and_then(|text| {
        let at = at.key("api_key");
        let text = check.expand(&at, text)?;
        secret(check, &at, text)
    });
    let ca_file = raw.ca_file.as_ref().map(|file| check.file(&at.key("ca_file"), file));
    if ca_file.is_some() && !url.tls && !url.host.is_empty() {
        let fix = "use an https URL, or remove it".to_owned();
        check.wrong_key(&at.key("ca_file"), "a trust root has no use for an http URL", fix);
    }
    let profiles = controller::profiles(check, at, raw, &profile, known.profiles);
    if let Some(hardware) = &hardware
        && !check.lost_children(&at.key("hardware"))
    {
        for other in profiles.iter().filter(|other| !matches!(&profile, Declared::Is(own) if own == *other)) {
            parallelism(check, &at.key("profiles"), hardware, other);
        }
    }
    let shiftable = Shiftable { name: id.as_str(), url: &url, url_at: at.key("url"), profile: &profile };
    let actuator =
        controller::actuator(check, &at.key("actuator"), raw.actuator.as_ref(), &shiftable, &raw.profiles);
    Backend {
        id,
        url,
        profiles,
        actuator,
        model: model(check, &at.key("model"), raw.model.as_deref(), known),
        profile,
        price_usd_per_hour: raw.price_usd_per_hour.or(list_price),
        api_key,
        protocol: raw.protocol.unwrap_or_default(),
        ca_file,
        hardware,
    }
}

fn hardware(
    check: &mut Check<'_>,
    at: &Path,
    raw: &TextOr<RawBackendHardware>,
    known: &Known<'_>,
) -> Option<Hardware> {
    let (kind_at, kind, count) = match raw {
        TextOr::Text(kind) => (at.clone(), kind, 1),
        TextOr::Full(raw) => {
            let count = check.within(&at.key("count"), raw.count.unwrap_or(1), 1..=MAX_ACCELERATORS);
            let kind_at = at.key("kind");
            let kind = check.required(&kind_at, raw.kind.as_ref(), "kind: h100_sxm")?;
            (kind_at, kind, count)
        }
    };
    let facts = known.hardware.get(kind).or_else(|| known.catalog.hardware(kind));
    if facts.is_none() && !check.is_cut(&Path::default().key("hardware").key(kind)) {
        let names = known.hardware.keys().map(String::as_str).chain(known.catalog.hardware_names());
        check.wrong(&kind_at, format!("no hardware is called {kind:?}"), suggest(kind, names));
    }
    Some(Hardware { id: HardwareId::new(kind.as_str()), count, facts: Arc::clone(facts?) })
}

fn model(check: &mut Check<'_>, at: &Path, name: Option<&str>, known: &mut Known<'_>) -> Declared<ModelId> {
    let Some(name) = name.filter(|name| *name != "detect") else { return Declared::Detect };
    let is_declared = known.models.iter().any(|model| model.id.as_str() == name);
    if !is_declared {
        if let Some(owner) = known.models.iter().find(|model| model.aliases.iter().any(|alias| alias == name))
        {
            let what = format!("{name:?} is an alias");
            check.wrong(at, what, format!("name the model itself: {}", owner.id));
        } else if let Some(model) = models::from_catalog(name, known.catalog) {
            known.models.push(model);
        } else if !check.is_cut(&Path::default().key("models").key(name)) {
            let declared = known.models.iter().map(|model| model.id.as_str());
            let close = suggest(name, declared.chain(known.catalog.model_names_and_aliases()));
            let declare = "declare it under `models`, or leave `model` out to ask the engine";
            let fix = match close.filter(|fix| fix.starts_with("did you mean")) {
                Some(close) => format!("{close} Otherwise {declare}"),
                None => declare.to_owned(),
            };
            check.wrong(at, format!("no model is called {name:?}"), fix);
        }
    }
    Declared::Is(ModelId::new(name))
}

fn profile(
    check: &mut Check<'_>,
    at: &Path,
    name: Option<&str>,
    known: &Known<'_>,
) -> Declared<Arc<Profile>> {
    let Some(name) = name.filter(|name| *name != "detect") else { return Declared::Detect };
    match known.profiles.iter().find(|profile| profile.id.as_str() == name) {
        Some(profile) => Declared::Is(Arc::clone(profile)),
        None => {
            if !check.is_cut(&Path::default().key("profiles").key(name)) {
                let names = known.profiles.iter().map(|profile| profile.id.as_str());
                let fix = suggest(name, names).unwrap_or_else(|| "declare it under `profiles`".to_owned());
                check.wrong(at, format!("no profile is called {name:?}"), fix);
            }
            Declared::Detect
        }
    }
}

/// The sizes of the parallel groups must multiply to the accelerators there are.
fn parallelism(check: &mut Check<'_>, at: &Path, hardware: &Hardware, profile: &Profile) {
    let profile_at = Path::default().key("profiles").key(profile.id.as_str());
    if ["tensor_parallel", "pipeline_parallel", "data_parallel"]
        .iter()
        .any(|key| check.is_cut(&profile_at.key(key)))
    {
        return;
    }
    let knobs = &profile.knobs;
    let size = |knob: Option<u32>| u64::from(knob.unwrap_or(1));
    let stated = size(knobs.tensor_parallel) * size(knobs.pipeline_parallel) * size(knobs.data_parallel);
    let count = u64::from(hardware.count);
    // Tensor parallelism takes what the others leave, unless it is stated.
    let fits = match knobs.tensor_parallel {
        Some(_) => stated == count,
        None => count.is_multiple_of(stated.max(1)),
    };
    if !fits {
        let what = format!(
            "profile {} spreads the model over {stated} accelerators, and this backend has {count}",
            profile.id
        );
        let fix = format!("write `hardware: {{kind: {}, count: {stated}}}`, or another profile", hardware.id);
        check.wrong(at, what, fix);
    }
}
