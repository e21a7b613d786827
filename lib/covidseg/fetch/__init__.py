"""Files from elsewhere: the catalogue of sources, downloads that resume, archives unpacked with care, mirrors."""
