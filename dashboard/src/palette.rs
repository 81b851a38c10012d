//! The two palettes. Written into the style sheet; how well each reads is computed by a test.

/// A colour by its name in the style sheet, light and dark.
type Colour = (&'static str, u32, u32);

/// What text stands on.
const GROUNDS: [Colour; 3] = [
    ("ground", 0xfb_fb_fa, 0x10_12_14),
    ("raised", 0xff_ff_ff, 0x17_1a_1d),
    ("sunken", 0xf3_f3_f1, 0x1e_22_26),
];

/// What is read: text, states, lines of plots.
const INKS: [Colour; 14] = [
    ("ink", 0x1b_1d_1f, 0xe7_e9_eb),
    ("muted", 0x5c_62_68, 0x9a_a3_ab),
    ("link", 0x1f_5f_bf, 0x7f_b2_f5),
    ("refused", 0xb4_23_2a, 0xf2_82_84),
    ("drifted", 0x8a_3f_b0, 0xd0_9b_ee),
    ("pending", 0x86_5a_00, 0xe0_b2_4c),
    ("applied", 0x1a_70_42, 0x5f_c4_8d),
    ("silent", 0x4f_55_5c, 0xb4_bc_c4),
    ("stale", 0x9a_4c_0c, 0xee_a1_5c),
    ("forked", 0xa8_1c_62, 0xf2_86_b8),
    ("series-1", 0x1f_5f_bf, 0x7f_b2_f5),
    ("series-2", 0x0b_70_74, 0x5a_c8_c8),
    ("series-3", 0x8a_3f_b0, 0xd0_9b_ee),
    ("series-4", 0x86_5a_00, 0xe0_b2_4c),
];

/// What is only seen beside text: borders, the lines of hatching.
const LINES: [Colour; 2] = [
    ("line", 0xe3_e4_e2, 0x2b_30_35),
    ("hatch", 0xa9_ae_b3, 0x6a_73_7b),
];

/// Both palettes as custom properties.
pub(crate) fn style() -> String {
    let all = || GROUNDS.iter().chain(&INKS).chain(&LINES);
    let light: String = all()
        .map(|(name, light, _)| format!("--{name}:#{light:06x};"))
        .collect();
    let dark: String = all()
        .map(|(name, _, dark)| format!("--{name}:#{dark:06x};"))
        .collect();
    format!(
        ":root{{color-scheme:light dark;{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as WCAG 2 defines it.
    fn luminance(colour: u32) -> f64 {
        let part = |shift: u32| {
            let value = f64::from((colour >> shift) & 0xff) / 255.0;
            match value <= 0.040_45 {
                true => value / 12.92,
                false => ((value + 0.055) / 1.055).powf(2.4),
            }
        };
        0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
    }

    fn contrast(one: u32, other: u32) -> f64 {
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        (one / other).max(other / one)
    }

    #[test]
    fn everything_that_is_read_has_a_contrast_of_4_4_at_least_in_both_palettes() {
        assert!((contrast(0, 0xff_ff_ff) - 21.0).abs() < 0.01);
        for (ink, light_ink, dark_ink) in INKS {
            for (ground, light, dark) in GROUNDS {
                for (palette, of) in [
                    ("light", contrast(light_ink, light)),
                    ("dark", contrast(dark_ink, dark)),
                ] {
                    assert!(of >= 4.4, "{ink} on {ground}, {palette}: {of:.2}");
                }
            }
        }
    }

    #[test]
    fn every_colour_that_the_style_names_is_in_both_palettes() {
        let style = concat!(include_str!("../assets/style.css"));
        let defined = super::style();
        for part in style.split("var(--").skip(1) {
            let name = part.split([')', ',']).next().unwrap();
            let is_own = style.contains(&format!("--{name}:"));
            let times = defined.matches(&format!("--{name}:")).count();
            assert!(is_own || times == 2, "--{name} {times}");
        }
    }
}
