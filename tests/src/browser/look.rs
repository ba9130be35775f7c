//! How a page looks: pictures, sizes, colours, and what a screen reader is told.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Browser;

/// Counts the colours of a picture, drawn by the page itself.
const COUNT: &str = "(async () => {
  const image = new Image();
  image.src = 'data:image/png;base64,PICTURE';
  await image.decode();
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [image.width, image.height];
  const pen = canvas.getContext('2d');
  pen.drawImage(image, 0, 0);
  const pixels = new Uint32Array(pen.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  return { colours: counts.size, others: 1 - Math.max(...counts.values()) / pixels.length };
})()";

/// Texts whose contrast to what is behind them is too weak, by the formula of WCAG 2.2 (relative luminance).
const WEAK: &str = "(() => {
  const rgba = (text) => { const found = text.match(/[0-9.]+/g).map(Number); return [...found.slice(0, 3), found[3] ?? 1]; };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = (colour) => 0.2126 * part(colour[0]) + 0.7152 * part(colour[1]) + 0.0722 * part(colour[2]);
  const ratio = (one, other) => { const [most, least] = [light(one), light(other)].sort((a, b) => b - a); return (most + 0.05) / (least + 0.05); };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      layers.unshift(colour);
      if (colour[3] === 1) break;
    }
    return layers.reduce((below, top) => over(top, below));
  };
  const boxed = (text) => {
    const inside = text.getBoundingClientRect();
    const holds = (box) => box.left <= inside.left && box.right >= inside.right && box.top <= inside.top && box.bottom >= inside.bottom;
    const rect = [...text.ownerSVGElement.querySelectorAll('rect')].find((rect) => holds(rect.getBoundingClientRect()));
    return rect ? rgba(getComputedStyle(rect).fill) : behind(text.ownerSVGElement);
  };
  const opacity = (element) => (element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1);
  const found = [];
  const judge = (what, colour, paper) => found.push({ what, ratio: ratio(over(colour, paper), paper) });
  const open = document.querySelector('dialog[open]') ?? document.body;
  const walk = document.createTreeWalker(open, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.matches('title, option')) continue;
    const style = getComputedStyle(element);
    const drawn = element.ownerSVGElement;
    const colour = rgba(drawn ? style.fill : style.color);
    colour[3] *= opacity(element);
    judge(node.data.trim().slice(0, 40), colour, drawn ? boxed(element) : behind(element));
  }
  for (const input of open.querySelectorAll('input[placeholder]'))
    judge('placeholder ' + input.placeholder, rgba(getComputedStyle(input, '::placeholder').color), behind(input));
  return { judged: found.length, weak: found.filter((one) => !(one.ratio >= LEAST)) };
})()";

/// Least contrast of a text.
const CONTRAST_MIN: f64 = 4.5;

/// Light or dark, as the reader's system asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Scheme {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        }
    }
}

/// What is told about a picture.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// How many colours it has; an empty page has one.
    pub colours: u64,
    /// The share of the pixels that have another colour than the most frequent one.
    pub others: f64,
}

/// A node of the tree that a screen reader is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// As `button`.
    pub role: String,
    /// What is read out; may be empty.
    pub name: String,
    /// Whether the keyboard can get there.
    pub focusable: bool,
}

impl Browser {
    /// Gives the tab another size, in pixels.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Asks for light or dark.
    pub fn prefer(&mut self, scheme: Scheme) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme.word() });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    /// Writes a picture of the whole page, PNG, to a file.
    pub fn photograph(&mut self, file: &Path) -> Picture {
        let taken = json!({ "format": "png", "captureBeyondViewport": true });
        let taken = self.call("Page.captureScreenshot", taken);
        let text = taken["data"].as_str().expect("a picture");
        std::fs::write(file, STANDARD.decode(text).expect("base64"))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let counted = self.eval(&COUNT.replace("PICTURE", text));
        Picture {
            colours: counted["colours"].as_u64().expect("a number"),
            others: counted["others"].as_f64().expect("a share"),
        }
    }

    /// How many texts are seen, and those that are hard to read, with their contrast.
    pub fn weak_texts(&mut self) -> (u64, Vec<Value>) {
        let mut found = self.eval(&WEAK.replace("LEAST", &CONTRAST_MIN.to_string()));
        let weak = found["weak"].as_array_mut().map(std::mem::take).expect("a list");
        (found["judged"].as_u64().expect("a number"), weak)
    }

    /// By how many pixels the page is wider than the tab.
    pub fn too_wide(&mut self) -> i64 {
        let found = self.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        found.as_i64().expect("a number")
    }

    /// What a screen reader is given.
    pub fn told_to_screen_readers(&mut self) -> Vec<Named> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().expect("nodes");
        let shown = nodes.iter().filter(|node| node["ignored"] != true);
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().trim().to_owned();
        let focusable = |node: &Value| {
            let properties = node["properties"].as_array();
            let is = |property: &Value| property["name"] == "focusable" && property["value"]["value"] == true;
            properties.is_some_and(|all| all.iter().any(is))
        };
        let named = |node: &Value| Named {
            role: text(&node["role"]),
            name: text(&node["name"]),
            focusable: focusable(node),
        };
        shown.map(named).collect()
    }
}
