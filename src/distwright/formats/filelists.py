"""The file lists of .dsc, .changes, .buildinfo and Sources: several checksums of the same files, joined into one."""

from distwright.formats.fields import FieldReader
from distwright.formats.paths import safe_file_name
from distwright.formats.values import FileHash, checksum_list, joined_files, md5, sha1
from distwright.model.digests import Sha256


def file_hashes(fields: FieldReader, md5_field: str) -> tuple[FileHash, ...]:
    """Read Checksums-Sha256 (mandatory), Checksums-Sha1 and `md5_field` (both may be missing) of one stanza.

    File names must pass `safe_file_name`; lists that differ are a problem of the reader.
    """
    sha256s = fields.parsed("Checksums-Sha256", lambda text: checksum_list(text, Sha256, safe_file_name))
    sha1s = fields.optional("Checksums-Sha1", lambda text: checksum_list(text, sha1, safe_file_name))
    md5s = fields.optional(md5_field, lambda text: checksum_list(text, md5, safe_file_name))
    if not sha256s:
        return ()  # already a problem
    return fields.attempt("Checksums-Sha256", lambda: joined_files(sha256s, md5s, sha1s))
