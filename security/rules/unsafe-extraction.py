import shutil
import tarfile
import zipfile


def unpack(file, folder):
    with tarfile.open(file) as archive:
        # ruleid: unsafe-extraction
        archive.extractall(folder)
    # ruleid: unsafe-extraction
    shutil.unpack_archive(file, folder)
    with tarfile.open(file) as archive:
        # ok: unsafe-extraction
        archive.extractall(folder, filter="data")
    with zipfile.ZipFile(file) as archive:
        # ok: unsafe-extraction
        archive.extractall(folder)
