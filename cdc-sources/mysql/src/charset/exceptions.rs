//! Where the servers' multi-byte charsets differ from the encodings of the same names.
//!
//! The tables of `encoding_rs` are the web's: Microsoft's code pages and the newest edition of
//! each standard. The servers' are older or stricter. A run is its first and last code and the
//! first character, as the servers' own `CONVERT(… USING utf8mb4)` answers; only codes that it
//! gives a meaning are here.

use super::MultiByte;

type Run = (u32, u32, u32);

/// Signs, kana, Cyrillic and circled numbers.
const BIG5: &[Run] = &[
    (0xa145, 0xa145, 0x2022),
    (0xa14e, 0xa14e, 0xff64),
    (0xa1c2, 0xa1c2, 0x203e),
    (0xa1e3, 0xa1e3, 0x223c),
    (0xa1f2, 0xa1f2, 0x2641),
    (0xa1f3, 0xa1f3, 0x2609),
    (0xa241, 0xa241, 0xff0f),
    (0xa242, 0xa242, 0xff3c),
    (0xa244, 0xa244, 0x00a5),
    (0xa246, 0xa247, 0x00a2),
    (0xc6a1, 0xc6a1, 0x30fe),
    (0xc6a2, 0xc6a3, 0x309d),
    (0xc6a4, 0xc6a4, 0x3005),
    (0xc6a5, 0xc6f7, 0x3041),
    (0xc6f8, 0xc6fe, 0x30a1),
    (0xc740, 0xc77e, 0x30a8),
    (0xc7a1, 0xc7b0, 0x30e7),
    (0xc7b1, 0xc7b2, 0x0414),
    (0xc7b3, 0xc7b3, 0x0401),
    (0xc7b4, 0xc7ba, 0x0416),
    (0xc7bb, 0xc7cd, 0x0423),
    (0xc7ce, 0xc7ce, 0x0451),
    (0xc7cf, 0xc7e8, 0x0436),
    (0xc7e9, 0xc7f2, 0x2460),
    (0xc7f3, 0xc7fc, 0x2474),
];

/// The middle dot and the dash.
const GB2312: &[Run] = &[(0xa1a4, 0xa1a4, 0x30fb), (0xa1aa, 0xa1aa, 0x2015)];

/// The signs that code page 932 widened.
const SJIS: &[Run] = &[
    (0x815f, 0x815f, 0x005c),
    (0x8160, 0x8160, 0x301c),
    (0x8161, 0x8161, 0x2016),
    (0x817c, 0x817c, 0x2212),
    (0x8191, 0x8192, 0x00a2),
    (0x81ca, 0x81ca, 0x00ac),
];

/// The same as in sjis, and the tilde of JIS X 0212.
const UJIS: &[Run] = &[
    (0xa1c0, 0xa1c0, 0x005c),
    (0xa1c1, 0xa1c1, 0x301c),
    (0xa1c2, 0xa1c2, 0x2016),
    (0xa1dd, 0xa1dd, 0x2212),
    (0xa1f1, 0xa1f2, 0x00a2),
    (0xa2cc, 0xa2cc, 0x00ac),
    (0x8fa2b7, 0x8fa2b7, 0x007e),
];

/// The broken bar.
const EUCJPMS: &[Run] = &[(0x8fa2c3, 0x8fa2c3, 0xffe4)];

/// The edition of 2005: what had no character in Unicode then.
const GB18030: &[Run] = &[
    (0xa3a0, 0xa3a0, 0xe5e5),
    (0xa6d9, 0xa6df, 0xe78d),
    (0xa6ec, 0xa6ed, 0xe794),
    (0xa6f3, 0xa6f3, 0xe796),
    (0xfe59, 0xfe59, 0xe81e),
    (0xfe61, 0xfe61, 0xe826),
    (0xfe66, 0xfe67, 0xe82b),
    (0xfe6d, 0xfe6d, 0xe832),
    (0xfe7e, 0xfe7e, 0xe843),
    (0xfe90, 0xfe90, 0xe854),
    (0xfea0, 0xfea0, 0xe864),
];

/// IBM's characters from 0x8ff3f3 on, in cells of 94.
const IBM: &str = "ⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ＇＂㈱№℡炻仼僴凬匇匤﨎咊坙﨏塚增寬峵嵓﨑德悅愠敎昻晥晴朗栁﨓﨔橫櫢淸淲瀨凞猪甁皂皞益礰礼神祥福竧靖精綠緖羽荢﨟薰蘒﨡蠇諸譿賴赶﨣﨤逸郞都鄕﨧﨨閒隆﨩霻靍靑飯飼館馞髙魲鶴黑";
/// The codes of [`IBM`].
const IBM_CODES: std::ops::RangeInclusive<u32> = 0x8f_f3f3..=0x8f_f4fe;
/// Cells in a row of the EUC charsets.
const CELLS: u32 = 94;

impl MultiByte {
    /// Whether [`MultiByte::exception`] knows any.
    pub(super) fn has_exceptions(self) -> bool {
        !matches!(self, MultiByte::Gbk | MultiByte::Cp932 | MultiByte::Euckr)
    }

    /// Bytes of the character that begins with these, as far as they tell.
    pub(super) fn length(self, bytes: &[u8]) -> usize {
        let euc = matches!(self, MultiByte::Ujis | MultiByte::Eucjpms);
        match (bytes.first(), bytes.get(1)) {
            (None | Some(..=0x80), _) => 1,
            // Half-width kana.
            (Some(0xa0..=0xdf), _) if self == MultiByte::Sjis => 1,
            (Some(0x8f), _) if euc => 3,
            (_, Some(0x30..=0x39)) if self == MultiByte::Gb18030 => 4,
            _ => 2,
        }
    }

    /// The character of a code where the servers have another one than `encoding_rs`. The code is
    /// that of one whole character.
    pub(super) fn exception(self, code: &[u8]) -> Option<char> {
        let code = match *code {
            [a, b] => u32::from(u16::from_be_bytes([a, b])),
            [a, b, c] => u32::from_be_bytes([0, a, b, c]),
            _ => return None,
        };
        let runs = match self {
            MultiByte::Big5 => BIG5,
            MultiByte::Gb2312 => GB2312,
            MultiByte::Gb18030 => GB18030,
            MultiByte::Sjis => SJIS,
            MultiByte::Ujis => UJIS,
            MultiByte::Eucjpms => EUCJPMS,
            MultiByte::Gbk | MultiByte::Cp932 | MultiByte::Euckr => return None,
        };
        let after = runs.partition_point(|(first, _, _)| *first <= code);
        if let Some((first, last, character)) = after.checked_sub(1).and_then(|at| runs.get(at))
            && code <= *last
        {
            return char::from_u32(character + (code - first));
        }
        match self {
            MultiByte::Eucjpms if IBM_CODES.contains(&code) => ibm(code).or_else(|| user_defined(code)),
            MultiByte::Ujis | MultiByte::Eucjpms => user_defined(code),
            _ => None,
        }
    }
}

/// Row and cell of an EUC code, from 0; the cells begin at 0xa1.
fn row_and_cell(code: u32) -> Option<(u32, u32)> {
    let cell = (code & 0xff).checked_sub(0xa1).filter(|cell| *cell < CELLS)?;
    let row = (code >> 8 & 0xff).checked_sub(0xa1).filter(|row| *row < CELLS)?;
    Some((row, cell))
}

fn ibm(code: u32) -> Option<char> {
    let (first_row, first_cell) = row_and_cell(*IBM_CODES.start())?;
    let (row, cell) = row_and_cell(code)?;
    let place = ((row - first_row) * CELLS + cell).checked_sub(first_cell)?;
    IBM.chars().nth(usize::try_from(place).ok()?)
}

/// The rows from 0xf5 on belong to the user: Unicode's private characters in their order, first
/// those of two bytes, then those of three.
fn user_defined(code: u32) -> Option<char> {
    let (row, cell) = row_and_cell(code)?;
    let row = row.checked_sub(0xf5 - 0xa1)?;
    let plane = if code > 0xffff { 10 * CELLS } else { 0 };
    char::from_u32(0xe000 + plane + row * CELLS + cell)
}
