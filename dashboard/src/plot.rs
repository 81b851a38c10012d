//! The plot of an edit's spread: the share of the targets over time, on a logarithmic axis, as SVG.
//!
//! The plotting crate knows colours only as numbers; each that it is given here stands for a class of the style sheet,
//! so that the plot follows the palette.

use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;

/// One line: its name, and its times, shortest first.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) class: &'static str,
    pub(crate) times_ms: Vec<i64>,
    /// Of how many.
    pub(crate) of: usize,
    /// Whether the legend names it; of lines that are seen as a bundle the first is.
    pub(crate) is_named: bool,
}

const SIZE: (u32, u32) = (880, 300);

/// The classes of lines, in their order.
pub(crate) const CLASSES: [&str; 6] = ["p-received", "p-rest", "p-1", "p-2", "p-3", "p-4"];

/// Lines that have a class of their own: those after the first two.
pub(crate) const OWN: usize = CLASSES.len() - 2;

/// Steps of one line; more than that are not seen.
const STEPS_MAX: usize = 150;

/// Stand-ins: what each becomes.
const GRID: RGBColor = RGBColor(1, 0, 1);
const TEXT: RGBColor = RGBColor(2, 0, 2);

fn stand_in(class: &str) -> RGBColor {
    let place = CLASSES
        .iter()
        .position(|known| *known == class)
        .unwrap_or(1);
    RGBColor(10, 0, u8::try_from(10 + place).unwrap_or(10))
}

/// The plot, or nothing where nobody answered.
pub(crate) fn spread(lines: &[Line], title: &str) -> Markup {
    match draw(lines, title) {
        Some(svg) => html! {
            figure.plot {
                (PreEscaped(svg))
                ul.legend {
                    @for line in lines.iter().filter(|line| line.is_named && !line.times_ms.is_empty()) {
                        li { span.key.(line.class) aria-hidden="true" {} (line.name) }
                    }
                }
            }
        },
        None => html! { p.quiet { "No cluster has answered yet." } },
    }
}

fn draw(lines: &[Line], title: &str) -> Option<String> {
    let times = || lines.iter().flat_map(|line| &line.times_ms);
    let last = times().max().copied()?;
    let first = times().min().copied()?.max(1);
    // Whole decades, so that the axis has round numbers at its ends.
    let low = 10_f64.powf(as_f64(first).log10().floor());
    let high = 10_f64.powf(as_f64(last + 1).log10().ceil()).max(low * 10.0);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .margin_right(36)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d((low..high).log_scale(), 0.0..100.0)
            .ok()?;
        let label = ("sans-serif", 12).into_font().color(&TEXT);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(label)
            .y_labels(5)
            .y_label_formatter(&|share| format!("{share:.0} %"))
            .x_label_formatter(&|ms| time(*ms))
            .draw()
            .ok()?;
        for line in lines {
            let steps = steps(line, low, high);
            let is_thin = line.class == CLASSES[1];
            let style = stand_in(line.class).stroke_width(if is_thin { 1 } else { 2 });
            chart.draw_series(LineSeries::new(steps, style)).ok()?;
        }
        root.present().ok()?;
    }
    Some(dress(&svg, title))
}

/// A staircase from the left to the right edge.
fn steps(line: &Line, low: f64, high: f64) -> Vec<(f64, f64)> {
    if line.times_ms.is_empty() || line.of == 0 {
        return Vec::new();
    }
    let mut points = vec![(low, 0.0)];
    let mut share = 0.0;
    let last = line.times_ms.len() - 1;
    let stride = line.times_ms.len().div_ceil(STEPS_MAX);
    for (place, ms) in line.times_ms.iter().enumerate() {
        // Of many alike every so many: the first, and the last always.
        if place % stride > 0 && place < last {
            continue;
        }
        let at = as_f64((*ms).max(1)).max(low);
        points.push((at, share));
        share = 100.0 * (place + 1) as f64 / line.of as f64;
        points.push((at, share));
    }
    points.push((high, share));
    points
}

fn as_f64(ms: i64) -> f64 {
    // Times of an edit are far below 2^52 ms.
    ms as f64
}

fn time(ms: f64) -> String {
    match ms {
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms if ms < 60_000.0 => format!("{:.0} s", ms / 1_000.0),
        ms => format!("{:.0} min", ms / 60_000.0),
    }
}

/// Stand-ins become classes, and the size that of the page.
fn dress(svg: &str, title: &str) -> String {
    let hex = |of: RGBColor| format!("#{:02X}{:02X}{:02X}", of.0, of.1, of.2);
    let mut dressed = svg.to_owned();
    let mut classes: Vec<(String, &str)> = CLASSES
        .iter()
        .map(|class| (hex(stand_in(class)), *class))
        .collect();
    classes.push((hex(GRID), "p-grid"));
    classes.push((hex(TEXT), "p-text"));
    for (colour, class) in classes {
        dressed = dressed.replace(
            &format!("stroke=\"{colour}\""),
            &format!("class=\"{class}\""),
        );
        dressed = dressed.replace(&format!("fill=\"{colour}\""), &format!("class=\"{class}\""));
    }
    let (width, height) = SIZE;
    let sized = format!("width=\"{width}\" height=\"{height}\" ");
    // What a page says of it; the table beside it has the figures.
    let named = html! { svg role="img" aria-label=(title) {} }.into_string();
    let named = named
        .trim_start_matches("<svg ")
        .trim_end_matches("></svg>");
    dressed.replacen(&sized, &format!("{named} "), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_classes_and_no_colour_and_no_style() {
        let line = Line {
            name: "eu".into(),
            class: CLASSES[2],
            times_ms: vec![3, 12, 900],
            of: 4,
            is_named: true,
        };
        let text = spread(&[line], "spread").into_string();
        assert!(
            text.contains("class=\"p-1\"") && text.contains("class=\"p-text\""),
            "{text}"
        );
        assert!(text.contains("10 ms") && text.contains("100 ms"), "{text}");
        assert!(
            !text.contains("style="),
            "a policy of contents would refuse it: {text}"
        );
        assert!(!text.contains("=\"#"), "a colour of its own: {text}");
        assert!(
            text.contains("role=\"img\" aria-label=\"spread\" viewBox"),
            "{text}"
        );
    }

    #[test]
    fn a_line_of_thousands_has_steps_that_can_be_seen_and_ends_where_it_ends() {
        let line = Line {
            name: "eu".into(),
            class: CLASSES[2],
            times_ms: (1..=5_000).collect(),
            of: 5_000,
            is_named: true,
        };
        let steps = steps(&line, 1.0, 10_000.0);
        assert!(steps.len() <= 2 * STEPS_MAX + 4, "{}", steps.len());
        assert_eq!(steps.last(), Some(&(10_000.0, 100.0)));
    }

    #[test]
    fn nobody_who_answered_makes_no_plot() {
        assert!(
            spread(&[], "spread")
                .into_string()
                .contains("No cluster has answered yet")
        );
    }
}
