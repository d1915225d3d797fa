"""Check what is built and shipped: does it still build, is it the same twice, what does something new break?"""
