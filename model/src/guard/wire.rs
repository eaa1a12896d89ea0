//! The protobuf wire format, as much of it as ONNX files use.

use super::GuardError;

/// The fields of one message, in the order of the file.
pub(super) struct Fields<'a>(&'a [u8]);

/// One field's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    /// No field that is read has one.
    Fixed64,
    /// A string, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Fields(message)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), GuardError> {
        let key = self.varint()?;
        let field = u32::try_from(key >> 3).ok().filter(|&field| field > 0).ok_or(GuardError::Malformed("field 0"))?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.fixed::<8>().map(|_| Value::Fixed64)?,
            2 => {
                let length =
                    usize::try_from(self.varint()?).map_err(|_| GuardError::Malformed("a length beyond the file"))?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(GuardError::Malformed("an unknown wire type")),
        };
        Ok((field, value))
    }

    fn varint(&mut self) -> Result<u64, GuardError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.fixed()?;
            // The tenth byte has room for one bit only.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(GuardError::Malformed("a number of more than 64 bits"))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], GuardError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| GuardError::Malformed("it ends too early"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], GuardError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(GuardError::Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), GuardError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.field())
    }
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], GuardError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(GuardError::Malformed("a number where a message belongs")),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, GuardError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| GuardError::Malformed("text that is not UTF-8"))
    }

    pub(super) fn int(self) -> Result<i64, GuardError> {
        match self {
            Value::Varint(value) => Ok(value as i64),
            _ => Err(GuardError::Malformed("something else where an integer belongs")),
        }
    }

    pub(super) fn float(self) -> Result<f32, GuardError> {
        match self {
            Value::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(GuardError::Malformed("something else where a float belongs")),
        }
    }

    /// Appends one integer, or many packed.
    pub(super) fn ints_into(self, values: &mut Vec<i64>, limit: usize) -> Result<(), GuardError> {
        match self {
            Value::Bytes(packed) => {
                let mut rest = Fields(packed);
                while !rest.0.is_empty() {
                    push(values, rest.varint()? as i64, limit)?;
                }
                Ok(())
            }
            one => push(values, one.int()?, limit),
        }
    }

    /// Appends one float, or many packed.
    pub(super) fn floats_into(self, values: &mut Vec<f32>, limit: usize) -> Result<(), GuardError> {
        match self {
            Value::Bytes(packed) => {
                let mut rest = Fields(packed);
                while !rest.0.is_empty() {
                    push(values, f32::from_le_bytes(rest.fixed()?), limit)?;
                }
                Ok(())
            }
            one => push(values, one.float()?, limit),
        }
    }
}

/// Lists are bounded, so that no file can take more memory than a few times its size.
pub(super) fn push<T>(values: &mut Vec<T>, value: T, limit: usize) -> Result<(), GuardError> {
    if values.len() >= limit {
        return Err(GuardError::TooMany { what: "entries in a list", limit });
    }
    values.push(value);
    Ok(())
}
