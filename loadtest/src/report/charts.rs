//! Charts as inline SVG, made here: no script draws them, so the page needs nothing else and looks the same in ten years.
//!
//! A drawing stretches with the page while its lines keep their width; texts stand around it as HTML, whose size does not shrink on a
//! phone. Who does not see it has its title, a sentence and the table beside it.

use std::fmt::Write as _;

use super::markup::escaped;
use super::scale::Scale;

/// A drawing is this wide and high before it is stretched: a tenth of a unit is finer than any screen.
const SIZE: f64 = 1000.0;

pub(super) struct Chart {
    /// Unique on the page.
    pub(super) id: String,
    pub(super) title: String,
    /// What is to be seen, in a sentence.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Behind everything else.
    pub(super) spans: Vec<Span>,
    pub(super) bands: Vec<Band>,
    pub(super) lines: Vec<Line>,
    /// Half as high as others.
    pub(super) is_low: bool,
}

pub(super) struct Axis {
    pub(super) scale: Scale,
    /// How a value reads beside it.
    pub(super) text: fn(f64) -> String,
    /// What it measures.
    pub(super) label: String,
}

/// Values by `x`, with gaps where there is none.
pub(super) type Points = Vec<(f64, Option<f64>)>;

/// A line through them.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// A class of the style sheet.
    pub(super) colour: &'static str,
    pub(super) points: Points,
    pub(super) is_dotted: bool,
}

/// An area between two heights, by stretches of `x`.
pub(super) struct Band {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
    pub(super) stretches: Vec<Stretch>,
}

pub(super) struct Stretch {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Stretches of `x` of which something is to be said.
pub(super) struct Span {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
    pub(super) stretches: Vec<(f64, f64)>,
}

impl Line {
    fn has_points(&self) -> bool {
        self.points.iter().any(|(_, value)| value.is_some())
    }
}

impl Chart {
    /// The chart as HTML. What may be of somebody else is escaped: title, description and labels.
    pub(super) fn html(&self) -> String {
        let (id, title, description) = (&self.id, escaped(&self.title), escaped(&self.description));
        let low = if self.is_low { " low" } else { "" };
        let mut html = format!(
            "<figure class=\"chart{low}\" id=\"{id}\">\n<figcaption><h3>{title}</h3>{}</figcaption>\n",
            self.legend()
        );
        let _ = write!(html, "<div class=\"plot\">\n{}", self.marks_of_y());
        let _ = write!(
            html,
            "<svg viewBox=\"0 0 {SIZE} {SIZE}\" preserveAspectRatio=\"none\" role=\"img\" aria-labelledby=\"{id}-title\" \
             aria-describedby=\"{id}-description\">\n<title id=\"{id}-title\">{title}</title>\n\
             <desc id=\"{id}-description\">{description}</desc>\n{}{}</svg>\n",
            self.grid(),
            self.drawing()
        );
        let _ = write!(html, "{}</div>\n</figure>\n", self.marks_of_x());
        html
    }

    /// What is drawn in which colour; a single line is named by the title.
    fn legend(&self) -> String {
        let spans = self.spans.iter().filter(|span| !span.stretches.is_empty()).map(|span| (span.name, span.colour));
        let bands = self.bands.iter().map(|band| (band.name, band.colour));
        let lines = self.lines.iter().map(|line| (line.name, line.colour));
        let all: Vec<_> = lines.chain(bands).chain(spans).collect();
        if all.len() < 2 {
            return String::new();
        }
        let items = all.iter().map(|(name, colour)| format!("<li><span class=\"swatch {colour}\"></span>{name}</li>"));
        format!("<ul class=\"legend\">{}</ul>", items.collect::<String>())
    }

    fn marks_of_y(&self) -> String {
        let mut html = format!(
            "<p class=\"unit\" aria-hidden=\"true\">{}</p><div class=\"y\" aria-hidden=\"true\">",
            escaped(&self.y.label)
        );
        for tick in self.y.scale.ticks() {
            let top = 100.0 * (1.0 - self.y.scale.place(tick));
            let _ = write!(html, "<span style=\"top:{top:.2}%\">{}</span>", (self.y.text)(tick));
        }
        html + "</div>\n"
    }

    fn marks_of_x(&self) -> String {
        let mut html = String::from("<div class=\"x\" aria-hidden=\"true\">");
        for tick in self.x.scale.ticks() {
            let left = 100.0 * self.x.scale.place(tick);
            let _ = write!(html, "<span style=\"left:{left:.2}%\">{}</span>", (self.x.text)(tick));
        }
        html + &format!("</div><p class=\"unit of-x\" aria-hidden=\"true\">{}</p>\n", escaped(&self.x.label))
    }

    fn grid(&self) -> String {
        let mut path = String::new();
        for tick in self.y.scale.ticks() {
            let _ = write!(path, "M0 {:.1}H{SIZE}", self.height(tick));
        }
        format!("<path class=\"grid\" d=\"{path}\"/>\n")
    }

    fn drawing(&self) -> String {
        let mut svg = String::new();
        for span in self.spans.iter().filter(|span| !span.stretches.is_empty()) {
            let mut path = String::new();
            for (from, to) in &span.stretches {
                let _ =
                    write!(path, "M{:.1} 0H{:.1}V{SIZE}H{:.1}Z", self.width(*from), self.width(*to), self.width(*from));
            }
            let _ = writeln!(svg, "<path class=\"span {}\" d=\"{path}\"/>", span.colour);
        }
        for band in &self.bands {
            let _ = writeln!(svg, "<path class=\"band {}\" d=\"{}\"/>", band.colour, self.area(&band.stretches));
        }
        for line in self.lines.iter().filter(|line| line.has_points()) {
            let _ = writeln!(svg, "<path class=\"line {}\" d=\"{}\"/>", line.colour, self.path(line));
            if line.is_dotted {
                let _ = writeln!(svg, "<path class=\"dots {}\" d=\"{}\"/>", line.colour, self.dots(line));
            }
        }
        svg
    }

    /// Forth along the upper edge and back along the lower one.
    fn area(&self, stretches: &[Stretch]) -> String {
        let mut path = String::new();
        for (number, stretch) in stretches.iter().enumerate() {
            let begin = if number == 0 { 'M' } else { 'L' };
            let _ = write!(
                path,
                "{begin}{:.1} {:.1}H{:.1}",
                self.width(stretch.from),
                self.height(stretch.high),
                self.width(stretch.to)
            );
        }
        for stretch in stretches.iter().rev() {
            let _ = write!(
                path,
                "L{:.1} {:.1}H{:.1}",
                self.width(stretch.to),
                self.height(stretch.low),
                self.width(stretch.from)
            );
        }
        if path.is_empty() { path } else { path + "Z" }
    }

    fn path(&self, line: &Line) -> String {
        let mut path = String::new();
        let mut is_down = false;
        for (place, (x, y)) in line.points.iter().enumerate() {
            let Some(y) = y else {
                is_down = false;
                continue;
            };
            let _ = write!(path, "{}{:.1} {:.1}", if is_down { 'L' } else { 'M' }, self.width(*x), self.height(*y));
            // A value between two gaps is a dot.
            if !is_down && line.points.get(place + 1).is_none_or(|(_, next)| next.is_none()) {
                path.push_str("h0");
            }
            is_down = true;
        }
        path
    }

    /// Lines without length whose round ends do not stretch with the drawing.
    fn dots(&self, line: &Line) -> String {
        let points = line.points.iter().filter_map(|(x, y)| Some((*x, (*y)?)));
        points.map(|(x, y)| format!("M{:.1} {:.1}h0", self.width(x), self.height(y))).collect()
    }

    fn width(&self, x: f64) -> f64 {
        SIZE * self.x.scale.place(x)
    }

    fn height(&self, y: f64) -> f64 {
        SIZE * (1.0 - self.y.scale.place(y))
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::tick;
    use super::*;

    type Point = (f64, Option<f64>);

    fn chart() -> Chart {
        let axis = |highest| Axis { scale: Scale::from_zero(highest), text: tick, label: "unit".into() };
        Chart {
            id: "a".into(),
            title: "A <b>".into(),
            description: "D".into(),
            x: axis(10.0),
            y: axis(10.0),
            spans: Vec::new(),
            bands: Vec::new(),
            lines: Vec::new(),
            is_low: false,
        }
    }

    fn line(points: &[Point]) -> Line {
        Line { name: "one", colour: "series-1", points: points.to_vec(), is_dotted: false }
    }

    #[test]
    fn line_has_a_gap_where_there_is_no_value() {
        let table: [(&[Point], &str); 5] = [
            (&[], ""),
            (&[(0.0, None)], ""),
            (&[(0.0, Some(0.0)), (10.0, Some(10.0))], "M0.0 1000.0L1000.0 0.0"),
            (&[(0.0, Some(0.0)), (5.0, None), (10.0, Some(5.0))], "M0.0 1000.0h0M1000.0 500.0h0"),
            (&[(5.0, Some(5.0))], "M500.0 500.0h0"),
        ];
        for (points, path) in table {
            assert_eq!(chart().path(&line(points)), path);
        }
    }

    #[test]
    fn area_goes_forth_above_and_back_below() {
        let stretches = [
            Stretch { from: 0.0, to: 5.0, low: 0.0, high: 5.0 },
            Stretch { from: 5.0, to: 10.0, low: 0.0, high: 10.0 },
        ];
        let path = "M0.0 500.0H500.0L500.0 0.0H1000.0L1000.0 1000.0H500.0L500.0 1000.0H0.0Z";
        assert_eq!(chart().area(&stretches), path);
        assert_eq!(chart().area(&[]), "");
    }

    #[test]
    fn chart_has_a_name_for_who_does_not_see_it() {
        let mut chart = chart();
        chart.lines = vec![line(&[(0.0, Some(1.0))]), Line { name: "other", ..line(&[]) }];
        let html = chart.html();
        for part in [
            "role=\"img\" aria-labelledby=\"a-title\"",
            "<title id=\"a-title\">A &lt;b&gt;</title>",
            "<desc ",
            "other</li>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("<b>"));
    }
}
