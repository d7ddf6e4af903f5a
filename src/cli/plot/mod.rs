//! A picture of a simulation beside what was measured, as SVG: for each output a panel, and its residuals below. Written by
//! hand, some 200 lines: a chart library (plotters) would still leave thinning, layout and labels to be written, and brings
//! its own look.

mod axis;
mod trace;

use std::fmt::Write as _;

use axis::{Axis, TimeUnit};

use super::{data::TimeKind, number::short};
use crate::fit::Figures;

const WIDTH: f64 = 980.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 24.0;
const PANEL: f64 = 220.0;
const RESIDUALS: f64 = 84.0;
const HEADING: f64 = 56.0;
/// Below each panel, for its times.
const GAP: f64 = 48.0;

/// What one file's data say, and what the model says of them.
pub(super) struct Section<'a> {
    /// Over its panels.
    pub(super) title: String,
    pub(super) kind: TimeKind,
    pub(super) times: &'a [f64],
    pub(super) panels: Vec<Panel<'a>>,
}

/// One output.
pub(super) struct Panel<'a> {
    pub(super) name: &'a str,
    pub(super) unit: &'a str,
    pub(super) measured: Option<&'a [f64]>,
    pub(super) simulated: &'a [f64],
    pub(super) figures: Figures,
    /// Of each run.
    pub(super) bands: Vec<Bands>,
}

/// Where the truth should lie by what the fit knows.
#[derive(Clone, Debug)]
pub(super) struct Bands {
    pub(super) times: Vec<f64>,
    pub(super) simulated: Vec<f64>,
    /// Half of the 95 % interval of the simulation, by the parameters' covariance.
    pub(super) of_simulation: Vec<f64>,
    /// Half of that of a measurement: with its noise.
    pub(super) of_measurements: Vec<f64>,
}

/// The picture.
pub(super) fn svg(title: &str, sections: &[Section<'_>]) -> String {
    let height: f64 = 44.0 + sections.iter().map(height_of).sum::<f64>();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"'DejaVu Sans',Verdana,Helvetica,Arial,sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    text(&mut svg, LEFT, 26.0, "start", "font-size=\"15\" font-weight=\"bold\"", title);
    let banded = sections.iter().flat_map(|section| &section.panels).any(|panel| !panel.bands.is_empty());
    legend(&mut svg, banded);
    let mut top = 44.0;
    for (index, section) in sections.iter().enumerate() {
        draw_section(&mut svg, section, top, index);
        top += height_of(section);
    }
    svg.push_str("</svg>\n");
    svg
}

fn height_of(section: &Section<'_>) -> f64 {
    HEADING + section.panels.iter().map(|panel| panel_height(panel) + GAP).sum::<f64>()
}

fn panel_height(panel: &Panel<'_>) -> f64 {
    if panel.measured.is_some() { PANEL + 10.0 + RESIDUALS } else { PANEL }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, style: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{content}</text>");
}

fn path(svg: &mut String, style: &str, d: &str) {
    if !d.is_empty() {
        let _ = writeln!(svg, "<path {style} d=\"{d}\"/>");
    }
}

const DOT: &str =
    "fill=\"none\" stroke=\"#3b3b3b\" stroke-width=\"2\" stroke-linecap=\"round\" stroke-opacity=\"0.55\"";
const LARGE_DOT: &str =
    "fill=\"none\" stroke=\"#3b3b3b\" stroke-width=\"3.4\" stroke-linecap=\"round\" stroke-opacity=\"0.7\"";
/// Up to so many measurements their dots may be large.
const LARGE_DOTS: usize = 400;
const LINE: &str = "fill=\"none\" stroke=\"#0072b2\" stroke-width=\"1.6\" stroke-linejoin=\"round\"";
const WIDE_BAND: &str = "fill=\"#56b4e9\" fill-opacity=\"0.2\"";
const NARROW_BAND: &str = "fill=\"#0072b2\" fill-opacity=\"0.35\"";

fn legend(svg: &mut String, banded: bool) {
    let mut x = WIDTH - RIGHT;
    let mut entry = |name: &str, style: &str, d: &dyn Fn(f64) -> String| {
        text(svg, x, 26.0, "end", "", name);
        x -= 6.4 * name.chars().count() as f64 + 8.0;
        path(svg, style, &d(x - 18.0));
        x -= 36.0;
    };
    if banded {
        let area = |x: f64| format!("M{x:.1} 17h18v10h-18Z");
        entry("95 % of measurements", WIDE_BAND, &area);
        entry("95 % of simulation", NARROW_BAND, &area);
    }
    entry("simulated", LINE, &|x| format!("M{x:.1} 22h18"));
    entry("measured", LARGE_DOT, &|x| format!("M{:.1} 22h0", x + 9.0));
}

fn draw_section(svg: &mut String, section: &Section<'_>, top: f64, index: usize) {
    let (start, end) = (section.times.first().copied().unwrap_or(0.0), section.times.last().copied().unwrap_or(1.0));
    let unit = TimeUnit::of(end - start);
    // Far from its zero a number of seconds says little: then it is counted from the first row.
    let is_far = section.kind == TimeKind::Seconds && start.abs() > 10.0 * (end - start);
    let zero = if is_far { start } else { 0.0 };
    let since = match section.kind {
        TimeKind::Seconds if !is_far => String::new(),
        kind => format!(" since {}{}", kind.text(zero), if is_far { " s" } else { "" }),
    };
    let shown = |time: f64| (time - zero) / unit.seconds;
    let room = if end > start { 0.005 * (shown(end) - shown(start)) } else { 0.5 };
    let x = Axis { low: shown(start) - room, high: shown(end) + room, from: LEFT, to: WIDTH - RIGHT };
    text(svg, LEFT, top + 16.0, "start", "font-size=\"12\" fill=\"#555\"", &section.title);
    let times: Vec<f64> = section.times.iter().map(|time| shown(*time)).collect();
    let mut panel_top = top + 42.0;
    for (number, panel) in section.panels.iter().enumerate() {
        let id = format!("c{index}p{number}");
        draw_panel(svg, panel, &times, &x, panel_top, &id, &shown);
        panel_top += panel_height(panel) + GAP;
    }
    text(svg, 0.5 * (x.from + x.to), panel_top - GAP + 33.0, "middle", "", &format!("time in {}{since}", unit.name));
}

fn draw_panel(
    svg: &mut String,
    panel: &Panel<'_>,
    times: &[f64],
    x: &Axis,
    top: f64,
    id: &str,
    shown: &dyn Fn(f64) -> f64,
) {
    let measured = panel.measured.unwrap_or_default();
    let y = Axis::around(measured.iter().chain(panel.simulated).copied(), top + PANEL, top);
    let with_unit =
        |name: &str| if panel.unit.is_empty() { name.to_owned() } else { format!("{name} in {}", panel.unit) };
    text(svg, LEFT, top - 6.0, "start", "font-weight=\"bold\"", &with_unit(panel.name));
    if panel.figures.samples > 0 {
        let Figures { rmse, fit_percent, samples, .. } = panel.figures;
        let rmse = format!("{} {}", short(rmse, 3), panel.unit);
        let figures = format!("{samples} samples, RMSE {}, fit {} %", rmse.trim_end(), short(fit_percent, 4));
        text(svg, x.to, top - 6.0, "end", "fill=\"#555\"", &figures);
    }
    let residual_top = top + PANEL + 10.0;
    let bottom = if panel.measured.is_some() { residual_top + RESIDUALS } else { top + PANEL };
    frame(svg, x, &y, 6.0, bottom);
    let times_of = |bands: &Bands| bands.times.iter().map(|time| shown(*time)).collect::<Vec<f64>>();
    open_clip(svg, id, x, &y);
    for bands in &panel.bands {
        draw_bands(svg, bands, &times_of(bands), &bands.simulated, x, &y);
    }
    let dot = if panel.figures.samples <= LARGE_DOTS { LARGE_DOT } else { DOT };
    path(svg, dot, &trace::dots(times, measured, x, &y));
    path(svg, LINE, &trace::line(times, panel.simulated, x, &y));
    svg.push_str("</g>\n");
    if panel.measured.is_none() {
        return;
    }
    let residuals: Vec<f64> = measured.iter().zip(panel.simulated).map(|(measured, y)| measured - y).collect();
    let half = panel.bands.iter().flat_map(|bands| &bands.of_measurements).flat_map(|half| [-half, *half]);
    let y = Axis::around(residuals.iter().copied().chain([0.0]).chain(half), residual_top + RESIDUALS, residual_top);
    frame(svg, x, &y, 4.0, bottom);
    open_clip(svg, &format!("{id}r"), x, &y);
    for bands in &panel.bands {
        draw_bands(svg, bands, &times_of(bands), &vec![0.0; bands.times.len()], x, &y);
    }
    let zero = y.place(0.0);
    path(svg, dot, &trace::dots(times, &residuals, x, &y));
    path(svg, LINE, &format!("M{:.1} {zero:.1}H{:.1}", x.from, x.to));
    svg.push_str("</g>\n");
    // White behind the letters: dots may lie under them.
    for style in ["fill=\"#fff\" stroke=\"#fff\" stroke-width=\"3\" stroke-opacity=\"0.8\"", "fill=\"#555\""] {
        text(svg, x.from + 6.0, residual_top + 13.0, "start", style, &with_unit("measured − simulated"));
    }
}

/// Both bands around a line.
fn draw_bands(svg: &mut String, bands: &Bands, times: &[f64], around: &[f64], x: &Axis, y: &Axis) {
    for (half, style) in [(&bands.of_measurements, WIDE_BAND), (&bands.of_simulation, NARROW_BAND)] {
        let low: Vec<f64> = around.iter().zip(half).map(|(y, half)| y - half).collect();
        let high: Vec<f64> = around.iter().zip(half).map(|(y, half)| y + half).collect();
        path(svg, style, &trace::area(times, &low, &high, x, y));
    }
}

/// Begins a group of which only what is inside the axes shows.
fn open_clip(svg: &mut String, id: &str, x: &Axis, y: &Axis) {
    let (width, height) = (x.to - x.from, y.from - y.to);
    let _ = writeln!(
        svg,
        "<clipPath id=\"{id}\"><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/></clipPath>\n\
         <g clip-path=\"url(#{id})\">",
        x.from, y.to
    );
}

/// Grid, ticks and border; times are written once, below `bottom`.
fn frame(svg: &mut String, x: &Axis, y: &Axis, y_ticks: f64, bottom: f64) {
    let grid = "stroke=\"#e4e4e4\" stroke-width=\"1\"";
    for (value, label) in x.ticks(10.0) {
        let at = x.place(value);
        path(svg, grid, &format!("M{at:.1} {:.1}V{:.1}", y.to, y.from));
        if y.from == bottom {
            text(svg, at, bottom + 15.0, "middle", "", &label);
        }
    }
    for (value, label) in y.ticks(y_ticks) {
        let at = y.place(value);
        path(svg, grid, &format!("M{:.1} {at:.1}H{:.1}", x.from, x.to));
        text(svg, x.from - 7.0, at + 4.0, "end", "", &label);
    }
    let border = "fill=\"none\" stroke=\"#888\" stroke-width=\"1\"";
    path(svg, border, &format!("M{:.1} {:.1}V{:.1}H{:.1}", x.from, y.to, y.from, x.to));
}
