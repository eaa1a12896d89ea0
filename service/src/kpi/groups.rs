//! What decisions are told apart by: declared products, by the name in `X-Product`, and declared segments, by fields of the application.
//!
//! How many there are is declared and bounded, never what a client sends (S5): at most 16 products and `other`, and 8 segments of 16
//! groups. Where an application belongs is some comparisons of whole numbers, and allocates nothing. Protected fields may be declared:
//! reports are what they are kept for, and nobody's own value is told.

use std::sync::Arc;

use cauce_features::application::Application;
use cauce_features::fixed::{DecimalError, MISSING, parse_decimal};
use cauce_features::nearest::nearest;
use cauce_features::spec::{Field, FieldKind, Specification};

use crate::config;

/// The most products, `other` apart.
pub const PRODUCTS_MAX: usize = 16;

/// The most segments, and the most groups of one.
pub const SEGMENTS_MAX: usize = 8;
pub const GROUPS_MAX: usize = 16;

/// The longest name of a product: it stands in documents and on the dashboard.
const NAME_BYTES_MAX: usize = 64;

/// All products that are not declared, and requests that name none.
const OTHER: &str = "other";

/// Applications in which the field is not given.
const NONE: &str = "none";

const PRODUCTS: &str = "kpi.products";
const SEGMENTS: &str = "kpi.segments";

/// A setting that is wrong, and how.
type Wrong = (&'static str, String);

/// The declared products and segments, found in a specification.
#[derive(Debug, Clone)]
pub struct Groups {
    /// The last is [`OTHER`].
    products: Vec<Arc<str>>,
    segments: Vec<Segment>,
}

/// A field by which applications are told apart.
#[derive(Debug, Clone)]
pub struct Segment {
    pub field: Arc<str>,
    /// The names of its groups.
    pub groups: Vec<Arc<str>>,
    /// Where the field stands in an application.
    index: usize,
    /// Raw values at which groups but the first begin; a field without them has its raw value for a group.
    edges: Vec<i64>,
    /// The group of applications without the field.
    none: usize,
}

/// The group of an application in each segment, in order; zeros behind the last one.
pub type Places = [u8; SEGMENTS_MAX];

/// What the settings declare, before there is a specification to find it in.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    products: Vec<String>,
    /// The name of a field, and the numbers at which its groups begin.
    segments: Vec<(String, Vec<String>)>,
}

impl Default for Groups {
    /// Nothing is declared.
    fn default() -> Self {
        Self { products: vec![OTHER.into()], segments: Vec::new() }
    }
}

impl Groups {
    /// Reads the settings against a specification. A bundle in service is only replaced by one of the same specification.
    pub fn new(settings: &config::Kpi, specification: &Specification) -> Result<Self, Wrong> {
        let Declared { products, segments } = Declared::parse(settings)?;
        let mut found: Vec<Segment> = Vec::with_capacity(segments.len());
        for (name, edges) in &segments {
            let segment = Segment::find(name, edges, specification).map_err(|cause| (SEGMENTS, cause))?;
            if found.iter().any(|other| other.index == segment.index) {
                return Err((SEGMENTS, format!("`{}` is declared twice", segment.field)));
            }
            found.push(segment);
        }
        let products = products.iter().map(String::as_str).chain([OTHER]).map(Arc::from).collect();
        Ok(Self { products, segments: found })
    }

    /// The names of products; the last is `other`.
    pub fn products(&self) -> &[Arc<str>] {
        &self.products
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The place of a product by the name that a request gives, if it gives one.
    pub fn product(&self, name: Option<&str>) -> u8 {
        let other = self.products.len() - 1;
        let declared = self.products[..other].iter().position(|product| Some(&**product) == name);
        declared.unwrap_or(other) as u8
    }

    /// Where an application belongs.
    pub fn places(&self, application: &Application) -> Places {
        let mut places = Places::default();
        for (place, segment) in places.iter_mut().zip(&self.segments) {
            *place = segment.place(application.values().get(segment.index).copied().unwrap_or(MISSING));
        }
        places
    }
}

impl Declared {
    /// Reads the settings as far as can be without a specification.
    pub fn parse(settings: &config::Kpi) -> Result<Self, Wrong> {
        Ok(Self {
            products: products(&settings.products).map_err(|cause| (PRODUCTS, cause))?,
            segments: segments(&settings.segments).map_err(|cause| (SEGMENTS, cause))?,
        })
    }
}

fn products(text: &str) -> Result<Vec<String>, String> {
    let products: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    if products.len() > PRODUCTS_MAX {
        return Err(format!("at most {PRODUCTS_MAX} products can be told apart, not {}", products.len()));
    }
    for (place, product) in products.iter().enumerate() {
        if product.len() > NAME_BYTES_MAX || !product.bytes().all(|byte| byte.is_ascii_graphic()) {
            let form = format!("at most {NAME_BYTES_MAX} letters, digits and signs of ASCII, as in a header");
            return Err(format!("`{product}` must have {form}"));
        }
        if product == OTHER {
            return Err(format!("`{OTHER}` is all that is not declared"));
        }
        if products[..place].contains(product) {
            return Err(format!("`{product}` is declared twice"));
        }
    }
    Ok(products)
}

fn segments(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let segments = text.split(';').filter(|segment| !segment.trim().is_empty()).map(|segment| {
        let mut words = segment.split_whitespace().map(str::to_owned);
        let field = words.next().unwrap_or_default();
        let edges: Vec<_> = words.collect();
        check_edges(&field, &edges)?;
        Ok((field, edges))
    });
    let segments = segments.collect::<Result<Vec<_>, String>>()?;
    if segments.len() > SEGMENTS_MAX {
        return Err(format!("at most {SEGMENTS_MAX} segments can be declared, not {}", segments.len()));
    }
    Ok(segments)
}

fn check_edges(field: &str, edges: &[String]) -> Result<(), String> {
    let mut before: Option<(f64, &str)> = None;
    for edge in edges {
        let number = edge.parse::<f64>().ok().filter(|number| number.is_finite());
        let number = number.ok_or_else(|| format!("`{field}`: a group begins at a number, not at `{edge}`"))?;
        if let Some((_, smaller)) = before.filter(|(smaller, _)| *smaller >= number) {
            return Err(format!(
                "`{field}`: its groups begin at rising numbers, and `{edge}` stands behind `{smaller}`"
            ));
        }
        before = Some((number, edge));
    }
    Ok(())
}

impl Segment {
    fn find(name: &str, edges: &[String], specification: &Specification) -> Result<Self, String> {
        let fields = &specification.application.fields;
        let Some(index) = specification.application.index_of(name) else {
            let near = nearest(name, fields.iter().flat_map(Field::names));
            let meant = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("the application has no field `{name}`{meant}"));
        };
        let field = &fields[index];
        let mut groups = names(field, edges)?;
        // A category may have a value of that name.
        let none = groups.iter().position(|group| group == NONE).unwrap_or(groups.len());
        if none == groups.len() {
            groups.push(NONE.to_owned());
        }
        if groups.len() > GROUPS_MAX {
            return Err(format!("`{name}` has {} groups with `{NONE}`, and {GROUPS_MAX} are the most", groups.len()));
        }
        let edges = edges.iter().map(|edge| raw(field, edge)).collect::<Result<_, _>>()?;
        let groups = groups.into_iter().map(Arc::from).collect();
        Ok(Self { field: field.name.as_str().into(), groups, index, edges, none })
    }

    fn place(&self, value: i64) -> u8 {
        let place = match value {
            MISSING => self.none,
            value if self.edges.is_empty() => usize::try_from(value).unwrap_or(self.none),
            value => self.edges.partition_point(|edge| *edge <= value),
        };
        // Only a value that its field cannot have is beyond.
        if place < self.groups.len() { place as u8 } else { self.none as u8 }
    }
}

/// The groups of a field, but for those who have none.
fn names(field: &Field, edges: &[String]) -> Result<Vec<String>, String> {
    let name = &field.name;
    let values = match &field.kind {
        FieldKind::Integer | FieldKind::Decimal { .. } => return ranges(name, edges),
        FieldKind::Category { values } => values.clone(),
        FieldKind::Boolean => vec!["false".to_owned(), "true".to_owned()],
        FieldKind::Text => return Err(format!("`{name}` is text, of which only a hash is kept: it has no groups")),
    };
    if !edges.is_empty() {
        return Err(format!("`{name}` is no number: its values are its groups, and nothing stands behind its name"));
    }
    Ok(values)
}

/// `<30`, `30-50`, `>=50`.
fn ranges(field: &str, edges: &[String]) -> Result<Vec<String>, String> {
    let (Some(first), Some(last)) = (edges.first(), edges.last()) else {
        return Err(format!(
            "`{field}` is a number: the values at which groups begin must stand behind it, as in `{field} 30 50`"
        ));
    };
    let between = edges.windows(2).map(|pair| format!("{}-{}", pair[0], pair[1]));
    Ok([format!("<{first}")].into_iter().chain(between).chain([format!(">={last}")]).collect())
}

fn raw(field: &Field, edge: &str) -> Result<i64, String> {
    let name = &field.name;
    let scale = if let FieldKind::Decimal { scale } = field.kind { scale } else { 0 };
    parse_decimal(edge, scale).map_err(|error| match error {
        DecimalError::NotANumber => format!("`{name}`: `{edge}` must be a number as in JSON"),
        DecimalError::TooManyDecimals => format!("`{name}` has {scale} decimals, and `{edge}` has more"),
        DecimalError::OutOfRange => format!("`{name}`: `{edge}` is beyond all that the field can hold"),
    })
}

#[cfg(test)]
mod tests;
