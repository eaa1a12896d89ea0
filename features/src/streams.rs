//! What is kept and tallied of a person's events: the rows' layout, and the streams and measures that features share.
//!
//! Features that look at the same events share one *stream* (an event type and a filter), and features that look at the
//! same field of a stream share one *measure*. A filter is evaluated once, when an event is applied, and stays as a bit of its row.

use std::ops::Range;

use crate::event::Event;
use crate::expression::Expression;
use crate::fixed::{self, MISSING};
use crate::plan::{Emission, PlanError, aggregates};
use crate::spec::{Aggregate, AggregateFeature, FieldKind, Specification, Window};
use crate::timeline::rows::{self, Column, HEADER, Layout, MAX_STRIDE};

/// The most different (event type, filter) pairs that one specification may use: one bit each in a row.
pub(crate) const MAX_STREAMS: usize = 64;

/// The most fields of a record, which the specification keeps to.
const MAX_FIELDS: usize = 64;

/// What is kept and tallied of a person's events.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) layout: Layout,
    streams: Vec<Stream>,
    pub(crate) measures: Vec<Measure>,
    /// How many measures keep sums of products.
    pub(crate) moments: usize,
    /// The measures whose different values are counted.
    pub(crate) distinct: Vec<usize>,
    kinds: Vec<KindLayout>,
    /// The streams whose evicted events a lifetime feature goes on counting.
    pub(crate) lifetime_mask: u64,
    /// Snapshots carry this; another specification's snapshot is refused.
    pub(crate) fingerprint: u32,
}

/// Events of one type that one filter lets through.
#[derive(Debug)]
struct Stream {
    kind: usize,
    filter: Option<Expression>,
    measures: Range<usize>,
}

/// One field of one stream.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) stream: usize,
    pub(crate) column: Column,
    /// Whether any feature needs more of it than how many different values there are.
    pub(crate) tallied: bool,
    pub(crate) moments: Option<usize>,
}

/// What is kept of one event type.
#[derive(Debug, Default)]
struct KindLayout {
    /// The field's index in the event type, and where it stands.
    columns: Vec<(usize, Column)>,
    streams: Vec<usize>,
    /// The streams that its events can belong to.
    mask: u64,
    filtered: bool,
    /// 10^scale of every field, as filters see them.
    units: Vec<f64>,
}

impl Streams {
    pub(crate) fn of(specification: &Specification) -> Result<Self, PlanError> {
        let mut streams: Vec<Stream> = Vec::new();
        let mut fields: Vec<Vec<FieldUse>> = Vec::new();
        for aggregate in aggregates(specification) {
            let stream = position_or_push(&mut streams, aggregate);
            fields.resize_with(streams.len(), Vec::new);
            if let Some(field) = aggregate.field {
                FieldUse::note(&mut fields[stream], field, aggregate.aggregate);
            }
        }
        if streams.len() > MAX_STREAMS {
            return Err(PlanError::TooManyStreams(streams.len()));
        }
        let mask_bytes = streams.len().div_ceil(8).max(1);
        let mut kinds = kind_layouts(specification, &streams, &fields, mask_bytes);
        let payload_end = |kind: &KindLayout| kind.columns.last().map(|(_, column)| column.end);
        let stride = kinds.iter().filter_map(payload_end).max().unwrap_or(0).max(HEADER + mask_bytes);
        debug_assert!(stride <= MAX_STRIDE, "the specification bounds the fields of an event");

        let (mut measures, mut moments, mut distinct) = (Vec::new(), 0, Vec::new());
        for (index, (stream, uses)) in streams.iter_mut().zip(&fields).enumerate() {
            stream.measures = measures.len()..measures.len() + uses.len();
            kinds[stream.kind].streams.push(index);
            kinds[stream.kind].mask |= 1 << index;
            for used in uses {
                if used.distinct {
                    distinct.push(measures.len());
                }
                let moment = used.moments.then_some(moments);
                moments += usize::from(used.moments);
                let column = kinds[stream.kind].column_of(used.field);
                measures.push(Measure { stream: index, column, tallied: used.tallied, moments: moment });
            }
        }
        let lifetimes = aggregates(specification).filter(|aggregate| aggregate.window == Window::Lifetime);
        let stream_of = |of: &AggregateFeature| streams.iter().position(|stream| stream.is_of(of));
        let lifetime_mask = lifetimes.filter_map(stream_of).fold(0, |mask, stream| mask | 1 << stream);
        Ok(Self {
            layout: Layout { stride, mask_bytes },
            lifetime_mask,
            fingerprint: u32::from_le_bytes(specification.hash[..4].try_into().expect("four bytes")),
            streams,
            measures,
            moments,
            distinct,
            kinds,
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.streams.len()
    }

    #[inline(always)]
    pub(crate) fn measures_of(&self, stream: usize) -> Range<usize> {
        self.streams[stream].measures.clone()
    }

    /// The value that a row adds to a distinct measure.
    pub(crate) fn distinct_value(&self, index: usize, row: &[u8]) -> Option<i64> {
        let measure = &self.measures[self.distinct[index]];
        let belongs = self.layout.mask(row) >> measure.stream & 1 == 1;
        if belongs { measure.column.load(row) } else { None }
    }

    /// How many event types there are.
    pub(crate) fn kinds(&self) -> usize {
        self.kinds.len()
    }

    /// The columns kept of one event type.
    pub(crate) fn columns(&self, kind: usize) -> impl ExactSizeIterator<Item = &Column> {
        self.kinds[kind].columns.iter().map(|(_, column)| column)
    }

    /// The streams that one event type can belong to, as a mask.
    pub(crate) fn possible_mask(&self, kind: usize) -> u64 {
        self.kinds[kind].mask
    }

    /// Packs an event into a row of zeros: the fields that features read, and which streams it belongs to.
    pub(crate) fn pack(&self, event: &Event, row: &mut [u8]) {
        let kind = &self.kinds[event.kind()];
        rows::set_header(row, (event.time().millis(), event.id().bits()), event.kind());
        for (field, column) in &kind.columns {
            let value = event.values()[*field];
            column.store(row, (value != MISSING).then_some(value));
        }
        self.layout.set_mask(row, self.mask(kind, event.values()));
    }

    fn mask(&self, kind: &KindLayout, values: &[i64]) -> u64 {
        if !kind.filtered {
            return kind.mask;
        }
        let mut slots = [f64::NAN; MAX_FIELDS];
        for ((slot, &unit), &value) in slots.iter_mut().zip(&kind.units).zip(values) {
            *slot = number(value, unit);
        }
        kind.streams.iter().fold(0, |mask, &stream| {
            let passes = self.streams[stream].filter.as_ref().is_none_or(|filter| filter.evaluate(&slots) == 1.0);
            mask | u64::from(passes) << stream
        })
    }

    pub(crate) fn emission(
        &self,
        spec: &Specification,
        of: &AggregateFeature,
        feature: usize,
        default: f64,
    ) -> Emission {
        let stream = self.streams.iter().position(|stream| stream.is_of(of)).expect("every aggregate has its stream");
        let column = of.field.map(|field| self.kinds[of.from].column_of(field));
        let measure = column.map(|column| {
            let is_mine = |&index: &usize| self.measures[index].column == column;
            self.measures_of(stream).find(is_mine).expect("every aggregated field has its measure")
        });
        let distinct = (of.aggregate == Aggregate::Distinct)
            .then(|| self.distinct.iter().position(|&index| Some(index) == measure))
            .flatten();
        let unit = of.field.map_or(1.0, |field| unit_of(&spec.events[of.from].record.fields[field].kind));
        Emission { feature, aggregate: of.aggregate, stream, measure, distinct, unit, default }
    }
}

/// What the features ask of one field of a stream.
struct FieldUse {
    field: usize,
    tallied: bool,
    moments: bool,
    distinct: bool,
}

impl Stream {
    /// Whether it is what an aggregate looks at.
    fn is_of(&self, aggregate: &AggregateFeature) -> bool {
        self.kind == aggregate.from && self.filter == aggregate.filter
    }
}

impl FieldUse {
    fn note(uses: &mut Vec<FieldUse>, field: usize, aggregate: Aggregate) {
        let index = uses.iter().position(|known| known.field == field).unwrap_or_else(|| {
            uses.push(FieldUse { field, tallied: false, moments: false, distinct: false });
            uses.len() - 1
        });
        uses[index].moments |= matches!(aggregate, Aggregate::Stddev | Aggregate::Trend);
        uses[index].tallied |= aggregate != Aggregate::Distinct;
        uses[index].distinct |= aggregate == Aggregate::Distinct;
    }
}

impl KindLayout {
    fn column_of(&self, field: usize) -> Column {
        let found = self.columns.iter().find(|(index, _)| *index == field);
        found.expect("every aggregated field has a column").1
    }
}

fn kind_layouts(
    spec: &Specification,
    streams: &[Stream],
    fields: &[Vec<FieldUse>],
    mask_bytes: usize,
) -> Vec<KindLayout> {
    let layout = |(kind, event): (usize, &crate::spec::EventType)| {
        let mine = || streams.iter().zip(fields).filter(move |(stream, _)| stream.kind == kind);
        let mut end = HEADER + mask_bytes;
        let mut columns = Vec::new();
        for (index, field) in event.record.fields.iter().enumerate() {
            if mine().any(|(_, uses)| uses.iter().any(|used| used.field == index)) {
                let width = match field.kind {
                    FieldKind::Text => 8,
                    _ => Column::width_for(field.min, field.max),
                };
                end += width;
                columns.push((index, Column { end, width }));
            }
        }
        KindLayout {
            columns,
            streams: Vec::new(),
            mask: 0,
            filtered: mine().any(|(stream, _)| stream.filter.is_some()),
            units: event.record.fields.iter().map(|field| unit_of(&field.kind)).collect(),
        }
    };
    spec.events.iter().enumerate().map(layout).collect()
}

fn position_or_push(streams: &mut Vec<Stream>, of: &AggregateFeature) -> usize {
    let known = streams.iter().position(|stream| stream.is_of(of));
    known.unwrap_or_else(|| {
        streams.push(Stream { kind: of.from, filter: of.filter.clone(), measures: 0..0 });
        streams.len() - 1
    })
}

/// What a raw value divides by to be the number that a user means.
pub(crate) fn unit_of(kind: &FieldKind) -> f64 {
    match kind {
        FieldKind::Decimal { scale } => fixed::unit(*scale) as f64,
        _ => 1.0,
    }
}

pub(crate) fn number(value: i64, unit: f64) -> f64 {
    if value == MISSING { f64::NAN } else { value as f64 / unit }
}
