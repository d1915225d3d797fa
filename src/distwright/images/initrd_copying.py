"""Modules copied into an initrd many at a time: what initramfs-tools of Debian 12 does with one program for each step of each file.

mkinitramfs of 0.142 starts 21,000 processes for Petrel, 18,000 of them to copy 1,200 modules; 26 s become 9 s. Its successors
(0.148 of Debian 13) collect modules first, too, so nothing is changed there.
"""

# sha256 of /usr/share/initramfs-tools/hook-functions whose `manual_add_modules` does what `QUICK` does; any other is left as it is.
KNOWN = ("05ec37b6ab74e1205027bc1d8bcb429ab18d9f3e06ea66bdf552083c5fa516af",)  # 0.142+deb12u3

# A function that is defined again counts. Only firmware that a loaded module of this machine lacks is no longer warned of.
QUICK = r"""
_insmods() {
	{
		/sbin/modprobe --all --set-version="$version" --ignore-install --quiet --show-depends "$@"
		/sbin/modprobe --all --set-version="$version" --quiet --show-depends "$@"
	} | sed -n 's/^insmod \([^ ]*\).*/\1/p'
}
_copy_firmware() {
	for firmware in $(modinfo -k "$version" -F firmware "$@"); do
		add_firmware "$firmware" || :
	done
}
_copy_folder() {
	from=$1
	shift
	mkdir -p "$DESTDIR/usr$from"
	cp -pP "$@" "$DESTDIR/usr$from/"
}
_copy_one_by_one() {
	while read -r kmod; do
		copy_file module "$kmod" || continue
		_copy_firmware "$kmod"
	done
}
_copy_by_folder() {
	last= new=
	set --
	while read -r kmod; do
		[ ! -e "$DESTDIR/usr$kmod" ] || continue
		if [ "${kmod%/*}" != "$last" ] && [ $# -gt 0 ]; then
			_copy_folder "$last" "$@"
			set --
		fi
		last=${kmod%/*} new="$new $kmod"
		set -- "$@" "$kmod"
	done
	[ $# -eq 0 ] || _copy_folder "$last" "$@"
	[ -z "$new" ] || _copy_firmware $new
}
manual_add_modules() {
	[ $# -gt 0 ] || return 0
	# Folders of modules that are links, or that are not joined into /usr, are copied as ever.
	if [ "$(readlink -f "$MODULESDIR")" = "/usr$MODULESDIR" ] && [ -z "$(find "$MODULESDIR/" -mindepth 2 -type l)" ]; then
		_insmods "$@" | LC_ALL=C sort -u | _copy_by_folder
	else
		_insmods "$@" | _copy_one_by_one
	fi
}
"""

# In the image's root, before its mkinitramfs; QUICK is a file of the work folder.
PREPARE = f"""functions=/usr/share/initramfs-tools/hook-functions
case $(sha256sum "$functions") in
    {"|".join(f"{digest}*" for digest in KNOWN)}) cat quick.sh >>"$functions" ;;
    *) echo "initramfs-tools of this version copies modules as it likes" ;;
esac
"""
