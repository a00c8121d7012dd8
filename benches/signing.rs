//! How often one core can sign with ES256 when it does nothing else.

use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};

use crate::usage;

/// How much CPU time is spent on it.
const TIME: Duration = Duration::from_secs(2);

/// Signatures in one second of one core's time, over as many bytes as a token has.
pub(crate) fn per_core_second() -> anyhow::Result<f64> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("make a signing key")?;
    let token = [b'x'; 500];
    let begin = usage::this_thread()?;
    let mut count = 0_u32;
    loop {
        for _ in 0..1000 {
            let signature = key.sign(&random, &token).context("sign")?;
            std::hint::black_box(signature);
        }
        count += 1000;
        let spent = usage::this_thread()?.saturating_sub(begin);
        if spent >= TIME {
            return Ok(f64::from(count) / spent.as_secs_f64());
        }
    }
}
