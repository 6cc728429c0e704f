//! Compression of blocks: the C library where it builds, a pure-Rust decompressor elsewhere.

#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::{Compressor, Decompressor};
#[cfg(target_arch = "wasm32")]
pub(super) use portable::{Compressor, Decompressor};

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::io;

    /// Measured on blocks of 256 KiB: higher levels gain nothing that pays for their time.
    const LEVEL: i32 = 1;

    pub(crate) struct Compressor(zstd::bulk::Compressor<'static>);

    impl Compressor {
        pub(crate) fn new() -> io::Result<Self> {
            zstd::bulk::Compressor::new(LEVEL).map(Self)
        }

        /// Compresses `raw` behind what `out` holds. `false`, and nothing is appended, if that would not be shorter.
        pub(crate) fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> bool {
            let start = out.len();
            out.resize(start + raw.len(), 0);
            let done = self.0.compress_to_buffer(raw, &mut out[start..]).ok().filter(|&len| len < raw.len());
            out.truncate(start + done.unwrap_or(0));
            done.is_some()
        }
    }

    pub(crate) struct Decompressor(zstd::bulk::Decompressor<'static>);

    impl Decompressor {
        pub(crate) fn new() -> io::Result<Self> {
            zstd::bulk::Decompressor::new().map(Self)
        }

        /// Decompresses to exactly `raw`. `false` if that is not what `stored` holds.
        pub(crate) fn decompress(&mut self, stored: &[u8], raw: &mut [u8]) -> bool {
            self.0.decompress_to_buffer(stored, raw).is_ok_and(|len| len == raw.len())
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod portable {
    use std::io;

    pub(crate) struct Compressor;

    impl Compressor {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        /// There is no compressor here: blocks are stored as they are.
        pub(crate) fn compress(&mut self, _raw: &[u8], _out: &mut Vec<u8>) -> bool {
            false
        }
    }

    pub(crate) struct Decompressor(ruzstd::decoding::FrameDecoder);

    impl Decompressor {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self(ruzstd::decoding::FrameDecoder::new()))
        }

        /// Decompresses to exactly `raw`. `false` if that is not what `stored` holds.
        pub(crate) fn decompress(&mut self, stored: &[u8], raw: &mut [u8]) -> bool {
            self.0.decode_all(stored, raw).is_ok_and(|len| len == raw.len())
        }
    }
}
