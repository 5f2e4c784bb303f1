//! What is inside the made images: one program for each platform, as a layer that holds nothing else.

use std::path::Path;

use anyhow::Result;

use super::read;
use crate::registry::Document;

/// A program, by the platform that it is really for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Program {
    Amd64,
    Arm64,
    /// 32-bit x86, which amd64 runs as well.
    X86,
    /// Enough of a Windows program for Linux to refuse it.
    Windows,
}

impl Program {
    /// The program of an honest image for a platform. One that is for neither of the others is like `Arm64`: it is not
    /// for the node.
    pub(super) fn of(platform: &str) -> Self {
        let platform = platform.to_ascii_lowercase();
        let has = |word: &str| platform.contains(word);
        if has("windows") {
            Self::Windows
        } else if has("386") {
            Self::X86
        } else if has("amd64") || has("x86") || platform.ends_with('/') {
            Self::Amd64
        } else {
            Self::Arm64
        }
    }
}

/// The layers of all programs.
pub(super) struct Programs {
    amd64: Document,
    arm64: Document,
    x86: Document,
    windows: Document,
}

impl Programs {
    /// Reads those that are built; `bin` is their folder.
    pub(super) fn read(bin: &Path) -> Result<Self> {
        Ok(Self {
            amd64: layer(&read(&bin.join("program-amd64"))?),
            arm64: layer(&read(&bin.join("program-arm64"))?),
            x86: layer(&x86_program()),
            windows: layer(b"MZ"),
        })
    }

    pub(super) fn layer(&self, program: Program) -> &Document {
        match program {
            Program::Amd64 => &self.amd64,
            Program::Arm64 => &self.arm64,
            Program::X86 => &self.x86,
            Program::Windows => &self.windows,
        }
    }
}

fn layer(program: &[u8]) -> Document {
    Document::new(tar_of_one_file("program", program))
}

/// An ELF program that ends with 0, whatever its arguments. Its second instruction means another thing in 64-bit mode.
fn x86_program() -> Vec<u8> {
    // xor eax, eax; inc eax (the call's number: exit); xor ebx, ebx; int 0x80
    const CODE: [u8; 7] = [0x31, 0xc0, 0x40, 0x31, 0xdb, 0xcd, 0x80];
    const HEADERS: u32 = 52 + 32;
    const ADDRESS: u32 = 0x0804_8000;
    const SIZE: u32 = HEADERS + 7;

    let mut program = b"\x7fELF\x01\x01\x01".to_vec(); // 32 bits, little-endian
    program.resize(16, 0);
    let mut put = |words: &[u32]| program.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    put(&[2 | 3 << 16, 1]); // executable, Intel 80386
    put(&[ADDRESS + HEADERS, 52, 0, 0]); // where it begins; where the program header is; no sections, no flags
    put(&[52 | 32 << 16, 1, 0]); // sizes of the two headers; one program header, no section header
    put(&[1, 0, ADDRESS, ADDRESS, SIZE, SIZE, 5, 0x1000]); // load all of it, to be read and run
    program.extend(CODE);
    program
}

/// A tar archive (ustar) of one executable file, the same bytes for the same content.
fn tar_of_one_file(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    let mut put = |offset: usize, text: &str| {
        header[offset..offset + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000755\0"); // mode
    put(108, "0000000\0"); // user
    put(116, "0000000\0"); // group
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0"); // time
    put(148, "        "); // the checksum counts as spaces
    put(156, "0"); // a file
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());

    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    // The file fills its last block, then two empty blocks end the archive.
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}
